"""The faults of the chaos table: what goes wrong in a run, and how the run must end with each job manager."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import tempfile
import threading
import time
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from typing import TYPE_CHECKING, Any, ClassVar

from rios_batch.awsbatch import lostmessages, starting
from rios_batch.awsbatch.localworker import LocalWorker
from rios_batch.contract import RUNS_PREFIX, StackOutput
from rios_batch.errors import (
    DamagedObjectError,
    FileOpenError,
    JobMgrError,
    OutputError,
    PicklingFailedError,
    RiosBatchError,
    UserFunctionError,
    WaitLimitError,
)
from rios_batch.jobmanagers import GeneratorRun, children
from rios_batch.testing.emulation.leavings import wait_for_jobs
from rios_batch.testing.running import as_in_a_script, double
from tests.emulation.rough_network import RoughNetwork
from tests.support import mounted_disk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pytest

    from rios_batch.testing.emulation.cloud import Emulator

LOCAL = ("in-process", "threads", "multiprocessing")
ALL = (*LOCAL, "AWSBatch")
WITH_PROCESSES = ("multiprocessing", "AWSBatch")

SAME_BITS = None


@dataclass(frozen=True)
class Bench:
    """What a fault may spoil."""

    folder: Path
    manager: str
    monkeypatch: pytest.MonkeyPatch
    cloud: Emulator | None

    @property
    def aws(self) -> Emulator:
        assert self.cloud is not None
        return self.cloud


class Fault:
    """Something that goes wrong.

    Attributes
    ----------
    ends : how a run must end with each manager that the fault can meet: SAME_BITS, or one error of this class.
    settings : the run's, as setters' names with their values.
    function : the user function; the output must be twice the input.
    to_s3 : the output is an object.
    """

    ends: ClassVar[Mapping[str, type[Exception] | None]]
    settings: ClassVar[dict[str, Any]] = {}
    function: ClassVar[Any] = staticmethod(double)
    to_s3: ClassVar[bool] = False

    @contextlib.contextmanager
    def around(self, bench: Bench) -> Iterator[Path | None]:
        """Have the fault happen while a run goes on; say where the output is to go, if not beside the input."""
        del bench
        yield None


def every(managers: tuple[str, ...], end: type[Exception] | None) -> dict[str, type[Exception] | None]:
    return dict.fromkeys(managers, end)


# -- what a manager, a function or a script does


class ATileIsDropped(Fault):
    ends = every(ALL, JobMgrError)
    settings: ClassVar = {"setOutputDriverName": "HFA", "setCreationOptions": None}

    @contextlib.contextmanager
    def around(self, bench: Bench) -> Iterator[None]:
        results = GeneratorRun.__iter__
        bench.monkeypatch.setattr(
            GeneratorRun, "__iter__", lambda run: (r for r in results(run) if r.record.tile != 1)
        )
        yield


pool: ThreadPool | None = None


def with_a_pool(_info: Any, inputs: Any, outputs: Any) -> None:
    assert pool is not None
    outputs.result = pool.apply(lambda: inputs.image.astype("u2") * 2)


class TheFunctionUsesAThreadPoolOfTheScript(Fault):
    ends = every(("in-process", "threads"), SAME_BITS) | every(WITH_PROCESSES, PicklingFailedError)
    function = staticmethod(with_a_pool)

    @contextlib.contextmanager
    def around(self, bench: Bench) -> Iterator[None]:
        global pool
        del bench
        with ThreadPool(1) as pool:
            yield
        pool.join()


@as_in_a_script
def hangs(info: Any, inputs: Any, outputs: Any) -> None:
    import os  # noqa: PLC0415 - the function travels
    import signal  # noqa: PLC0415

    if info.getBlockCount() == (0, 0):
        os.kill(os.getpid(), signal.SIGSTOP)
    outputs.result = inputs.image.astype("u2") * 2


class AProcessHangsAtItsFirstBlock(Fault):
    ends = every(WITH_PROCESSES, WaitLimitError)
    settings: ClassVar = {"setWaitLimit": 3}
    function = staticmethod(hangs)

    @contextlib.contextmanager
    def around(self, bench: Bench) -> Iterator[None]:
        bench.monkeypatch.setattr(children, "_STOP_SECONDS", 0.5)
        yield


@as_in_a_script
def by_the_environment(_info: Any, inputs: Any, outputs: Any) -> None:
    import os  # noqa: PLC0415 - the function travels

    outputs.result = inputs.image.astype("u2") * int(os.environ["CHAOS_FACTOR"])


class TheFunctionReadsTheEnvironment(Fault):
    ends = every(ALL, SAME_BITS)
    settings: ClassVar = {"setWorkerEnvironment": {"CHAOS_FACTOR": "2"}}
    function = staticmethod(by_the_environment)


class TheScriptIgnoresSIGCHLD(Fault):
    ends = every(ALL, SAME_BITS)

    @contextlib.contextmanager
    def around(self, bench: Bench) -> Iterator[None]:
        del bench
        before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        try:
            yield
        finally:
            signal.signal(signal.SIGCHLD, before)


@as_in_a_script
class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise LookupError("no text")


@as_in_a_script
def raises(*_: Any) -> None:
    raise UnspeakableError


class AnErrorHasNoText(Fault):
    ends = every(ALL, UserFunctionError)
    function = staticmethod(raises)


class AnInputChanges(Fault):
    ends = every(LOCAL, FileOpenError)

    @contextlib.contextmanager
    def around(self, bench: Bench) -> Iterator[None]:
        scene = bench.folder / "scene.tif"
        results = GeneratorRun.__iter__

        def touched(run: GeneratorRun) -> Iterator[Any]:
            yield from results(run)
            os.utime(scene)

        bench.monkeypatch.setattr(GeneratorRun, "__iter__", touched)
        yield


class TheDiskIsFull(Fault):
    """A disk that ends in the middle of the output; without root's rights, a limit on the size of files."""

    ends = every(ALL, OutputError)

    @contextlib.contextmanager
    def around(self, bench: Bench) -> Iterator[Path]:
        with _a_small_disk(bench) as disk:
            yield disk / "out.tif"


@contextlib.contextmanager
def _a_small_disk(bench: Bench) -> Iterator[Path]:
    if os.geteuid() == 0:
        with mounted_disk(bench.folder.parent, 8) as disk:
            yield disk
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield bench.folder
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class TheDiskIsFullForAnotherFormat(TheDiskIsFull):
    settings: ClassVar = {"setOutputDriverName": "HFA", "setCreationOptions": None}


# -- who dies


def deadly(number: int) -> Any:
    """Return a function that sends a signal to its process, once."""

    @as_in_a_script
    def function(info: Any, inputs: Any, outputs: Any) -> None:
        import os  # noqa: PLC0415 - the function travels

        if info.getBlockCount() == (2, 1):
            try:
                os.close(os.open(os.environ["CHAOS_FOLDER"] + "/once", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), number)
        outputs.result = inputs.image.astype("u2") * 2

    return function


class _AProcessDies(Fault):
    ends = every(WITH_PROCESSES, SAME_BITS)
    settings: ClassVar = {"setWorkerEnvironment": ["CHAOS_FOLDER"]}


class AProcessIsKilled(_AProcessDies):
    function = staticmethod(deadly(signal.SIGKILL))


class AProcessIsTerminated(_AProcessDies):
    function = staticmethod(deadly(signal.SIGTERM))


# -- what AWS does


class _OnAWS(Fault):
    ends = every(("AWSBatch",), SAME_BITS)


class S3IsBusy(_OnAWS):
    @contextlib.contextmanager
    def around(self, bench: Bench) -> Iterator[None]:
        bench.aws.slow_down("s3", 0.2)
        try:
            yield
        finally:
            bench.aws.slow_down("s3", 0)


class MessagesComeTwice(_OnAWS):
    @contextlib.contextmanager
    def around(self, bench: Bench) -> Iterator[None]:
        bench.aws.duplicate_messages(True)
        try:
            yield
        finally:
            bench.aws.duplicate_messages(False)


class QueuesAndJobsAreUnknownAtFirst(_OnAWS):
    @contextlib.contextmanager
    def around(self, bench: Bench) -> Iterator[None]:
        bench.aws.be_late(queues_s=1.0, jobs_s=1.0)
        try:
            yield
        finally:
            bench.aws.be_late()


class _Somebody(_OnAWS):
    """Somebody who may write the exchange bucket and the run's queue does something, as soon as that can be done."""

    @contextlib.contextmanager
    def around(self, bench: Bench) -> Iterator[None]:
        over = threading.Event()
        done: list[bool] = []

        def try_again_and_again() -> None:
            someone = Someone(bench.aws)
            while not over.wait(0.02) and not done:
                if self.acts(someone):
                    done.append(True)

        thread = threading.Thread(target=try_again_and_again)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
        assert done

    def acts(self, someone: Someone) -> bool:
        """Do it, if it can be done by now, and say so."""
        raise NotImplementedError


class Someone:
    """What somebody sees of a run, and may do."""

    def __init__(self, cloud: Emulator) -> None:
        self.s3, self.sqs = cloud.client("s3"), cloud.client("sqs")
        self._bucket = cloud.outputs()[StackOutput.BUCKET]
        self.seen: set[str] = set()

    def keys(self, end: str = "") -> list[str]:
        found = self.s3.list_objects_v2(Bucket=self._bucket, Prefix=RUNS_PREFIX).get("Contents", [])
        return [item["Key"] for item in found if item["Key"].endswith(end)]

    def get(self, key: str) -> bytes:
        return bytes(self.s3.get_object(Bucket=self._bucket, Key=key)["Body"].read())

    def put(self, key: str, data: bytes) -> None:
        self.s3.put_object(Bucket=self._bucket, Key=key, Body=data)

    def folder(self) -> str | None:
        """Return what the keys of a run begin with, once there is one."""
        return next((key.removesuffix("run.json") for key in self.keys("/run.json")), None)

    def tiles(self) -> list[str]:
        return [key for key in self.keys() if "/tiles/" in key]

    def receive(self, queue: str) -> list[Any]:
        """Take messages of a queue."""
        try:
            return list(self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []))
        except self.sqs.exceptions.QueueDoesNotExist:
            return []

    def let_go(self, queue: str | None, message: Any) -> None:
        self.sqs.change_message_visibility(
            QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
        )

    def queue(self) -> str | None:
        """Return the URL of the run's queue, once main says that there is one."""
        return next((json.loads(self.get(key))["queue_url"] for key in self.keys("/main.json")), None)


class ForeignObjectsLieAmongTheRuns(_Somebody):
    NAMES = (
        *(
            "tiles/",
            "tiles/9999999",
            "tiles/notes.txt",
            "failures/",
            "failures/notes.txt",
            "merged/",
            "merges/x",
        ),
        f"failures/0000001-{0:032x}.json",
        f"failures/worker-{0:032x}.json",
    )

    def acts(self, someone: Someone) -> bool:
        folder = someone.folder()
        for name in self.NAMES if folder else ():
            someone.put(f"{folder}{name}", b"somebody's")
        return folder is not None


class EveryTileIsDamagedOnce(_Somebody):
    settings: ClassVar = {"setOutputDriverName": "HFA", "setCreationOptions": None}

    def acts(self, someone: Someone) -> bool:
        for key in someone.tiles():
            if key not in someone.seen:
                with contextlib.suppress(someone.s3.exceptions.NoSuchKey):
                    data = bytearray(someone.get(key))
                    data[-3] ^= 4
                    someone.put(key, bytes(data))
                    someone.seen.add(key)
        return bool(someone.seen)


class TileZeroLiesInTheOthersPlaces(_Somebody):
    def acts(self, someone: Someone) -> bool:
        tiles = someone.tiles()
        first = next((key for key in tiles if key.endswith("0000000")), None)
        if first is None or len(tiles) == 1:
            return False
        for key in tiles:
            if key != first:
                someone.put(key, someone.get(first))
        return True


class TilesAreCutShort(_Somebody):
    def acts(self, someone: Someone) -> bool:
        tiles = someone.tiles()
        for key in tiles:
            someone.put(key, someone.get(key)[:-9])
        return bool(tiles)


class TheJobIsChanged(_Somebody):
    ends = every(("AWSBatch",), DamagedObjectError)

    def acts(self, someone: Someone) -> bool:
        jobs = someone.keys("/job.pkl")
        for key in jobs:
            someone.put(key, b"cos\nsystem\n(S'true'\ntR.")
        return bool(jobs)


class TheDescriptionIsChanged(_Somebody):
    ends = every(("AWSBatch",), RiosBatchError)

    def acts(self, someone: Someone) -> bool:
        folder = someone.folder()
        if folder:
            someone.put(f"{folder}run.json", b"[" * 100_000)
        return folder is not None


class TheQueueIsDeleted(_Somebody):
    def acts(self, someone: Someone) -> bool:
        queue = someone.queue() if someone.tiles() else None
        if queue:
            someone.sqs.delete_queue(QueueUrl=queue)
        return queue is not None


class ForeignMessagesCome(_Somebody):
    def acts(self, someone: Someone) -> bool:
        queue = someone.queue()
        for body in (
            ("hello", "[" * 10_000, '{"tile": 99, "again": false}', '{"merge": 0, "sha256": "ab"}')
            if queue
            else ()
        ):
            someone.sqs.send_message(QueueUrl=queue, MessageBody=body)
        return queue is not None


class MessagesAreLost(_Somebody):
    """SQS loses some of a run's messages, which costs a stall each time that main notices it."""

    @contextlib.contextmanager
    def around(self, bench: Bench) -> Iterator[None]:
        bench.monkeypatch.setattr(lostmessages, "STALL_SECONDS", 2.0)
        with super().around(bench):
            yield

    def acts(self, someone: Someone) -> bool:
        queue = someone.queue()
        messages = someone.receive(queue) if queue else []
        for message in messages[:3]:
            someone.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        for message in messages[3:]:
            someone.let_go(queue, message)
        return bool(messages)


class MessagesComeLateAndInAnotherOrder(_Somebody):
    def acts(self, someone: Someone) -> bool:
        queue = someone.queue()
        messages = someone.receive(queue) if queue else []
        for delay_s, message in enumerate(reversed(messages)):
            someone.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            someone.sqs.send_message(QueueUrl=queue, MessageBody=message["Body"], DelaySeconds=delay_s % 3)
        return bool(messages)


class AWorkerHasAMessageThatOthersFinish(_Somebody):
    """A lease lapses while its holder sleeps: somebody takes messages, and gives none back."""

    @contextlib.contextmanager
    def around(self, bench: Bench) -> Iterator[None]:
        bench.monkeypatch.setattr(starting, "LEASE_SECONDS", 10)
        with super().around(bench):
            yield

    def acts(self, someone: Someone) -> bool:
        queue = someone.queue()
        return bool(queue and someone.receive(queue))


class _TheWorkerProgram(_OnAWS):
    """Something happens to the worker program beside main, once it is at work."""

    signals: ClassVar[tuple[int, ...]]

    @contextlib.contextmanager
    def around(self, bench: Bench) -> Iterator[None]:
        starts = LocalWorker._start
        hit: list[threading.Timer] = []

        def start_and_hit(worker: LocalWorker) -> Any:
            process = starts(worker)
            if not hit:
                for pause_s, number in enumerate(self.signals, start=1):
                    hit.append(threading.Timer(1.5 * pause_s, process.send_signal, (number,)))
                    hit[-1].start()
            return process

        bench.monkeypatch.setattr(LocalWorker, "_start", start_and_hit)
        yield
        for timer in hit:
            timer.join()


class TheWorkerProgramIsKilled(_TheWorkerProgram):
    signals = (signal.SIGKILL,)


class TheWorkerProgramIsTerminated(_TheWorkerProgram):
    signals = (signal.SIGTERM,)


class TheWorkerProgramIsPaused(_TheWorkerProgram):
    signals = (signal.SIGSTOP, signal.SIGCONT)


class _TheJob(_OnAWS):
    """Something happens to the workers on Batch."""

    number: ClassVar[int]
    settings: ClassVar = {"setCoordinateOnly": False}

    @contextlib.contextmanager
    def around(self, bench: Bench) -> Iterator[None]:
        over = threading.Event()

        def hit() -> None:
            while not over.wait(0.05):
                job = next((job for job in bench.aws.jobs() if job.handle), None)
                if job is not None:
                    with contextlib.suppress(Exception):  # it may have ended just now
                        bench.aws.signal_job(
                            job.job_id, self.number, status_reason="Host EC2 (instance i-0) terminated."
                        )
                    return

        thread = threading.Thread(target=hit)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


class AMachineIsLost(_TheJob):
    number = signal.SIGKILL


class ASpotMachineIsTakenBack(_TheJob):
    number = signal.SIGTERM


class MainsClockIsAnHourSlow(_OnAWS):
    @contextlib.contextmanager
    def around(self, bench: Bench) -> Iterator[None]:
        now = time.time
        bench.monkeypatch.setattr(time, "time", lambda: now() - 3600)
        yield


class _RoughNetwork(_OnAWS):
    resets: ClassVar[float] = 0.0
    cuts: ClassVar[float] = 0.0

    @contextlib.contextmanager
    def around(self, bench: Bench) -> Iterator[None]:
        port = int(bench.aws.endpoint.rpartition(":")[2])
        with RoughNetwork(port, resets=self.resets, cuts=self.cuts) as network:
            bench.monkeypatch.setenv("AWS_ENDPOINT_URL", network.endpoint)
            yield
            wait_for_jobs(bench.aws)
        assert network.broken


class ConnectionsAreReset(_RoughNetwork):
    resets = 0.02


class ConnectionsAreResetToAnObject(ConnectionsAreReset):
    to_s3 = True


class AnswersAreCutToAnObject(_RoughNetwork):
    cuts = 0.1
    to_s3 = True


class TheFolderForTemporaryFilesIsFull(_OnAWS):
    """Where a file is made that is uploaded when it is complete."""

    ends = every(("AWSBatch",), OutputError)
    settings: ClassVar = {"setOutputDriverName": "HFA", "setCreationOptions": None}
    to_s3 = True

    @contextlib.contextmanager
    def around(self, bench: Bench) -> Iterator[None]:
        with _a_small_disk(bench) as disk, bench.monkeypatch.context() as patch:
            patch.setattr(tempfile, "tempdir", str(disk))
            yield


class BlobsOfAnObjectAreDamaged(EveryTileIsDamagedOnce):
    """Pixels that S3 copies are found damaged by S3, or by whoever reads them; a resumed run has them again."""

    ends = every(("AWSBatch",), OutputError)
    settings: ClassVar = {"setResume": True}
    to_s3 = True


class AnswersAreCut(_RoughNetwork):
    cuts = 0.1


FAULTS: tuple[Fault, ...] = (
    ATileIsDropped(),
    TheFunctionUsesAThreadPoolOfTheScript(),
    AProcessHangsAtItsFirstBlock(),
    TheFunctionReadsTheEnvironment(),
    TheScriptIgnoresSIGCHLD(),
    AnErrorHasNoText(),
    AnInputChanges(),
    AProcessIsKilled(),
    AProcessIsTerminated(),
    S3IsBusy(),
    MessagesComeTwice(),
    QueuesAndJobsAreUnknownAtFirst(),
    ForeignObjectsLieAmongTheRuns(),
    EveryTileIsDamagedOnce(),
    TileZeroLiesInTheOthersPlaces(),
    TilesAreCutShort(),
    TheJobIsChanged(),
    TheDescriptionIsChanged(),
    TheQueueIsDeleted(),
    ForeignMessagesCome(),
    MessagesAreLost(),
    MessagesComeLateAndInAnotherOrder(),
    AWorkerHasAMessageThatOthersFinish(),
    TheDiskIsFull(),
    TheDiskIsFullForAnotherFormat(),
    TheFolderForTemporaryFilesIsFull(),
    BlobsOfAnObjectAreDamaged(),
    ConnectionsAreResetToAnObject(),
    AnswersAreCutToAnObject(),
    TheWorkerProgramIsKilled(),
    TheWorkerProgramIsTerminated(),
    TheWorkerProgramIsPaused(),
    AMachineIsLost(),
    ASpotMachineIsTakenBack(),
    MainsClockIsAnHourSlow(),
    ConnectionsAreReset(),
    AnswersAreCut(),
)
