"""One suite for every job manager, failures included. What a manager can do beyond it is in the table."""

from __future__ import annotations

import gc
import hashlib
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch import applier
from rios_batch.compute.otherargs import ChangeDetector
from rios_batch.compute.tile import TileRunner
from rios_batch.errors import (
    ArrayShapeError,
    JobMgrError,
    KeysMismatch,
    MismatchedListLengthsError,
    ParameterError,
    PicklingFailedError,
    ProcessCancelledError,
    RiosBatchWarning,
    TypeConversionError,
    UserFunctionError,
    WorkerLostError,
)
from rios_batch.jobmanagers import GeneratorRun, JobManager, processes
from rios_batch.jobmanagers.base import getJobManagerClassByType
from rios_batch.jobmanagers.pickling import dump_other_args
from tests.support import make_raster, read_metadata, read_raster, run_script, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from rios_batch.applier import ApplierReturn
    from rios_batch.model.spec import Array, RunSpec
    from rios_batch.model.tileresult import TileResult


class BackToFront(JobManager):
    """A script's own manager, by subclassing: it returns the last tile first."""

    jobMgrType = "back-to-front"  # noqa: N815 - RIOS's name

    def start(self, spec: RunSpec, other_args: Any) -> GeneratorRun:
        return GeneratorRun(spec, self._results(spec, other_args))

    def _results(self, spec: RunSpec, other_args: Any) -> Generator[TileResult, None, None]:
        detector = ChangeDetector(dump_other_args(other_args))
        runner = TileRunner(spec, "back-to-front")
        for tile in reversed(list(spec.plan)):
            copy = detector.fresh_copy()
            yield replace(runner.run(tile, copy), other_args=detector.changes(copy))


@dataclass(frozen=True)
class Manager:
    """A row of the capability table."""

    type: str
    threads: int
    survives_sigkill: bool  # the tile that kills its process is done again
    pickles: bool  # function and otherArgs must be picklable
    shares_other_args: bool  # every block sees the caller's own object
    same_machine: bool = True  # exceptions and modules need not cross a network
    tiles_at_a_time: int = 0  # if more than one for each of the threads

    @property
    def processes(self) -> int:
        return self.tiles_at_a_time or self.threads


MANAGERS = [
    Manager("in-process", 1, survives_sigkill=False, pickles=False, shares_other_args=True),
    Manager("threads", 2, survives_sigkill=False, pickles=False, shares_other_args=False),
    Manager("threads", 5, survives_sigkill=False, pickles=False, shares_other_args=False),
    Manager("multiprocessing", 2, survives_sigkill=True, pickles=True, shares_other_args=False),
    Manager("multiprocessing", 5, survives_sigkill=True, pickles=True, shares_other_args=False),
    Manager("back-to-front", 2, survives_sigkill=False, pickles=False, shares_other_args=False),
    # Two vCPUs for each worker; main has one worker's share.
    Manager(
        "AWSBatch",
        2,
        survives_sigkill=True,
        pickles=True,
        shares_other_args=False,
        same_machine=False,
        tiles_at_a_time=4,
    ),
]


def each(managers: Iterable[Manager]) -> pytest.MarkDecorator:
    """Run a test with each of these; those that need the emulated AWS may open sockets to this machine."""
    loopback = pytest.mark.allow_hosts(["127.0.0.1"])
    return pytest.mark.parametrize(
        "manager",
        [
            pytest.param(m, id=f"{m.type}-{m.threads}", marks=[] if m.same_machine else [loopback])
            for m in managers
        ],
    )


each_manager = each(MANAGERS)
each_surviving = each(m for m in MANAGERS if m.survives_sigkill)
SCENE = np.random.default_rng(7).integers(1, 200, (2, 90, 70), np.uint8)


@dataclass
class Run:
    """A scene on disk, and how to run a function over it."""

    folder: Path

    @property
    def target(self) -> Path:
        return self.folder / "out.tif"

    def controls(self, manager: Manager, **options: Any) -> applier.ApplierControls:
        controls = applier.ApplierControls()
        controls.setWindowSize(16, 32)
        controls.setTileSize(32, 32)
        controls.setNumThreads(manager.threads)
        controls.setJobManagerType(manager.type)
        controls.setCreationOptions(["TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16", "COMPRESS=DEFLATE"])
        for setter, value in options.items():
            getattr(controls, setter)(value)
        return controls

    def __call__(
        self, function: Callable[..., None], manager: Manager, other_args: Any = None, **options: Any
    ) -> ApplierReturn:
        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        infiles.image = str(self.folder / "scene.tif")
        outfiles.result = str(self.target)
        return applier.apply(
            function, infiles, outfiles, other_args, controls=self.controls(manager, **options)
        )

    def assert_nothing_left(self) -> None:
        """Nothing half-written, no worker."""
        assert sorted(path.name for path in self.folder.iterdir()) == ["scene.tif"]
        assert multiprocessing.active_children() == []
        assert [thread.name for thread in threading.enumerate() if "rios_batch" in thread.name] == []


@pytest.fixture
def run(tmp_path: Path, request: pytest.FixtureRequest) -> Run:
    manager = getattr(request.node, "callspec", None) and request.node.callspec.params.get("manager")
    if manager is not None and not manager.same_machine:
        request.getfixturevalue("quick_cloud")
    folder = tmp_path / "work"
    folder.mkdir()
    make_raster(folder / "scene.tif", SCENE)
    return Run(folder)


def double(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.result = inputs.image.astype(np.uint16) * 2


# -- the answer


@each_manager
def test_gives_the_pixels_of_one_call_on_the_whole_image(run: Run, manager: Manager) -> None:
    result = run(double, manager)

    np.testing.assert_array_equal(read_raster(run.target), SCENE.astype(np.uint16) * 2)
    assert result.jobManagerType == manager.type
    assert result.outputs == (str(run.target),)
    assert not multiprocessing.active_children()


def reciprocal(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.result = np.float32(1) / inputs.image


@each_manager
def test_writes_the_same_statistics_to_the_last_bit(run: Run, manager: Manager) -> None:
    options = {"setOutputDriverName": "HFA", "setCreationOptions": None}

    run(reciprocal, MANAGERS[0], **options)
    expected = read_metadata(run.target)
    run(reciprocal, manager, **options)

    assert read_metadata(run.target) == expected
    means = [float(items["STATISTICS_MEAN"]) for items in expected]
    assert means == pytest.approx((1 / SCENE.astype(np.float64)).mean(axis=(1, 2)), rel=1e-7)


def windowed_maximum(info: Any, inputs: Any, outputs: Any) -> None:
    radius = info.getOverlapSize()
    views = np.lib.stride_tricks.sliding_window_view(
        np.pad(inputs.image, ((0, 0), (radius, radius), (radius, radius))),
        (1, 2 * radius + 1, 2 * radius + 1),
    )
    outputs.result = views.max(axis=(3, 4, 5))


@each_manager
def test_overlap_makes_block_borders_invisible(run: Run, manager: Manager) -> None:
    run(windowed_maximum, manager, setOverlap=3)

    padded = np.pad(SCENE, ((0, 0), (3, 3), (3, 3)))
    expected = np.lib.stride_tricks.sliding_window_view(padded, (1, 7, 7)).max(axis=(3, 4, 5))
    np.testing.assert_array_equal(read_raster(run.target), expected)


@each_manager
def test_calls_the_function_once_for_every_block(run: Run, manager: Manager, tmp_path: Path) -> None:
    log = tmp_path / "calls"

    def record(info: Any, inputs: Any, outputs: Any) -> None:
        with log.open("a") as file:
            file.write(f"{info.getBlockCount()}\n")
        outputs.result = inputs.image

    result = run(record, manager)

    calls = log.read_text().splitlines()
    assert sorted(calls) == sorted(f"{(x, y)}" for x in range(5) for y in range(3))
    assert sum(record.blocks for record in result.tiles) == len(calls)
    assert [record.tile for record in result.tiles] == list(range(9))
    assert len({record.worker for record in result.tiles}) <= manager.processes


@each_manager
def test_writes_the_same_file_byte_for_byte_as_the_first_manager(run: Run, manager: Manager) -> None:
    run(double, MANAGERS[0])
    expected = hashlib.sha256(run.target.read_bytes()).hexdigest()

    run(double, manager)

    assert hashlib.sha256(run.target.read_bytes()).hexdigest() == expected


@each_manager
def test_a_raster_of_one_block_and_more_workers_than_tiles(run: Run, manager: Manager) -> None:
    make_raster(run.folder / "scene.tif", SCENE[:, :1, :1])

    result = run(double, manager)

    assert read_raster(run.target).tolist() == (SCENE[:, :1, :1].astype(np.uint16) * 2).tolist()
    assert len(result.tiles) == 1


@each_manager
def test_lists_of_files_in_and_out(run: Run, manager: Manager) -> None:
    def swap(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.parts = [inputs.images[1][:1], inputs.images[0]]

    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    make_raster(run.folder / "other.tif", SCENE[::-1])
    infiles.images = [run.folder / "scene.tif", str(run.folder / "other.tif")]
    outfiles.parts = [run.folder / "a.tif", run.folder / "b.tif"]

    applier.apply(swap, infiles, outfiles, controls=run.controls(manager))

    np.testing.assert_array_equal(read_raster(run.folder / "a.tif"), SCENE[1:])
    np.testing.assert_array_equal(read_raster(run.folder / "b.tif"), SCENE)


@each_manager
def test_a_format_that_is_written_by_one_writer(run: Run, manager: Manager) -> None:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.result = run.folder / "scene.tif", run.folder / "out.img"
    controls = run.controls(manager)
    controls.setCreationOptions(None)

    applier.apply(double, infiles, outfiles, controls=controls)

    np.testing.assert_array_equal(read_raster(run.folder / "out.img"), SCENE.astype(np.uint16) * 2)


# -- failures


def explode(info: Any, inputs: Any, outputs: Any) -> None:
    if info.getBlockCount() == (3, 1):
        raise LookupError("no such class")
    outputs.result = inputs.image


@each_manager
def test_an_exception_in_the_function_says_where_and_leaves_nothing(run: Run, manager: Manager) -> None:
    with pytest.raises(UserFunctionError) as caught:
        run(explode, manager)

    error = caught.value
    assert "explode raised LookupError: no such class" in str(error)
    assert "block (3, 1), columns 48-63, rows 32-63, of tile 4" in str(error)
    assert str(run.folder / "scene.tif") in str(error)
    assert error.exception_type == "builtins.LookupError"
    assert isinstance(error.__cause__, LookupError if manager.same_machine else type(None))
    assert 'raise LookupError("no such class")' in error.traceback_text
    run.assert_nothing_left()


@each_manager
def test_a_failed_run_keeps_the_older_output(run: Run, manager: Manager) -> None:
    run.target.write_bytes(b"precious")

    with pytest.raises(UserFunctionError):
        run(explode, manager)

    assert run.target.read_bytes() == b"precious"


class PickyError(Exception):
    """Cannot be made from its message alone, so it does not survive pickling."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@each_manager
def test_an_exception_that_cannot_be_pickled_still_arrives(run: Run, manager: Manager) -> None:
    def picky(_info: Any, _inputs: Any, _outputs: Any) -> None:
        raise PickyError(3, "out of paint")

    with pytest.raises(UserFunctionError, match="picky raised PickyError: out of paint"):
        run(picky, manager)


@each_manager
def test_sys_exit_in_the_function_ends_the_script(run: Run, manager: Manager) -> None:
    def leave(_info: Any, _inputs: Any, _outputs: Any) -> None:
        sys.exit("that will do")

    with pytest.raises(SystemExit, match="that will do"):
        run(leave, manager)
    run.assert_nothing_left()


@pytest.mark.parametrize(
    ("value", "error", "says"),
    [
        (lambda a: a[0], ArrayShapeError, r"has shape \(\d+, \d+\) .*must be \(bands, \d+, \d+\)"),
        (lambda a: a[:, 1:], ArrayShapeError, r"has shape \(2, (31|25), \d+\)"),
        (lambda a: a[:0], ArrayShapeError, r"has shape \(0, \d+, \d+\)"),
        (lambda _: 3, ArrayShapeError, "is a int"),
        (lambda a: a.astype(np.float16), TypeConversionError, "cannot write float16"),
        (lambda a: a.astype("U3"), TypeConversionError, "cannot write str"),
    ],
    ids=["two dimensions", "row missing", "no bands", "not an array", "float16", "text"],
)
@each_manager
def test_refuses_what_cannot_be_written(
    run: Run, manager: Manager, value: Callable[[Array], Any], error: type[Exception], says: str
) -> None:
    def wrong(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.result = value(inputs.image)

    with pytest.raises(error, match=says) as caught:
        run(wrong, manager)
    assert re.match(r"outputs.result .*in block \(\d, \d\), columns \d+-\d+, rows \d+-\d+", str(caught.value))
    run.assert_nothing_left()


@pytest.mark.parametrize("odd_block", [(1, 0), (4, 2)], ids=["in the first tile", "in another tile"])
@each_manager
def test_refuses_a_block_of_another_type_or_band_count(
    run: Run, manager: Manager, odd_block: tuple[int, int]
) -> None:
    def odd_type(info: Any, inputs: Any, outputs: Any) -> None:
        odd = info.getBlockCount() == odd_block
        outputs.result = inputs.image.astype(np.float32 if odd else np.uint8)

    def odd_bands(info: Any, inputs: Any, outputs: Any) -> None:
        outputs.result = inputs.image[: 1 if info.getBlockCount() == odd_block else 2]

    with pytest.raises(TypeConversionError, match="has 2 bands of float32 at .* but 2 bands of uint8"):
        run(odd_type, manager)
    with pytest.raises(ArrayShapeError, match="has 1 band of uint8 at .* but 2 bands of uint8"):
        run(odd_bands, manager)
    run.assert_nothing_left()


@each_manager
def test_refuses_missing_outputs_and_short_lists(run: Run, manager: Manager) -> None:
    def forgetful(_info: Any, _inputs: Any, outputs: Any) -> None:
        outputs.reslut = 1

    with pytest.raises(KeysMismatch, match="did not set outputs.result in block .*; it set reslut"):
        run(forgetful, manager)

    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image = run.folder / "scene.tif"
    outfiles.result = [run.folder / "a.tif", run.folder / "b.tif"]

    def short(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.result = [inputs.image]

    with pytest.raises(MismatchedListLengthsError, match="a list of 2 arrays.* it is 1 arrays"):
        applier.apply(short, infiles, outfiles, controls=run.controls(manager))
    run.assert_nothing_left()


@each_manager
def test_what_cannot_be_pickled_is_refused_by_name_or_works(run: Run, manager: Manager) -> None:
    lock = threading.Lock()

    def locked(_info: Any, inputs: Any, outputs: Any) -> None:
        with lock:
            outputs.result = inputs.image

    if manager.pickles:
        with pytest.raises(PicklingFailedError, match="locked cannot be sent to another process: .*lock"):
            run(locked, manager)
        run.assert_nothing_left()
    else:
        run(locked, manager)
        np.testing.assert_array_equal(read_raster(run.target), SCENE)


@each_manager
def test_other_args_that_cannot_be_copied_are_refused_by_name_or_shared(run: Run, manager: Manager) -> None:
    other_args = applier.OtherInputs()
    other_args.factor, other_args.lock = 2, threading.Lock()

    if manager.shares_other_args:
        run(
            lambda _info, inputs, outputs, _other: setattr(outputs, "result", inputs.image),
            manager,
            other_args,
        )
    else:
        with pytest.raises(PicklingFailedError, match=r"otherArgs.lock cannot be copied"):
            run(lambda *_: None, manager, other_args)
        run.assert_nothing_left()


# -- workers that die


@each_surviving
def test_a_worker_killed_in_mid_tile_is_replaced_and_the_run_completes(
    run: Run, manager: Manager, tmp_path: Path
) -> None:
    killed, log = tmp_path / "killed", tmp_path / "calls"

    def killed_once(info: Any, inputs: Any, outputs: Any) -> None:
        with log.open("a") as file:
            file.write(f"{info.getBlockCount()}\n")
        if info.getBlockCount() == (3, 1):  # the second block of its tile
            try:
                killed.touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        outputs.result = inputs.image.astype(np.uint16) * 2

    run(killed_once, manager)

    np.testing.assert_array_equal(read_raster(run.target), SCENE.astype(np.uint16) * 2)
    calls = log.read_text().splitlines()
    assert len(calls) == 15 + 2  # the killed tile's two blocks twice, all others once
    assert calls.count("(3, 1)") == 2


@each_surviving
def test_a_tile_that_always_kills_its_worker_ends_the_run_with_its_name(run: Run, manager: Manager) -> None:
    def poison(info: Any, inputs: Any, outputs: Any) -> None:
        if info.getBlockCount() == (2, 1):
            os.kill(os.getpid(), signal.SIGKILL)
        outputs.result = inputs.image

    with pytest.raises(
        WorkerLostError, match=r"tile 4 \(columns 32-63, rows 32-63\).* 3 times.*SIGKILL.*memory"
    ):
        run(poison, manager)
    run.assert_nothing_left()


SLOW_SCRIPT = """
    import os, pathlib, signal, time
    from rios_batch import applier

    # What a shell starts in the background, tests included, ignores SIGINT, and so would this script.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    here = os.getcwd()

    def slow(info, inputs, outputs):
        pathlib.Path(here, f"started-{os.getpid()}").touch()
        time.sleep(0.05)
        outputs.result = inputs.image

    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.result = "scene.tif", "out.tif"
    controls = applier.ApplierControls()
    controls.setWindowSize(2, 2)
    controls.setTileSize(16, 16)
    controls.setCreationOptions(["TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16"])
    controls.setNumThreads(%(threads)d)
    controls.setJobManagerType("%(type)s")
    applier.apply(slow, infiles, outfiles, controls=controls)
"""


def start_slow_script(run: Run, manager: Manager) -> tuple[subprocess.Popen[str], list[int]]:
    """Start a run that would take minutes; return it, and its workers' process ids."""
    script = run.folder / "slow.py"
    script.write_text(textwrap.dedent(SLOW_SCRIPT % vars(manager)))
    process = subprocess.Popen(
        [sys.executable, script.name],
        cwd=run.folder,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    nprocesses = manager.processes if manager.pickles else 1
    wait_until(lambda: len(list(run.folder.glob("started-*"))) >= nprocesses)
    pids = [int(path.name.removeprefix("started-")) for path in run.folder.glob("started-*")]
    for path in (script, *run.folder.glob("started-*")):
        path.unlink(missing_ok=True)
    return process, pids


def is_running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


each_builtin = each(m for m in MANAGERS if m.threads <= 2 and m.type != "back-to-front")
each_here = each(m for m in MANAGERS if m.threads <= 2 and m.type != "back-to-front" and m.same_machine)


@each_builtin
def test_ctrl_c_stops_everything_and_leaves_nothing(run: Run, manager: Manager) -> None:
    process, pids = start_slow_script(run, manager)

    os.killpg(process.pid, signal.SIGINT)  # the terminal sends it to the whole group

    _, stderr = process.communicate()
    assert process.returncode != 0
    assert stderr.count("Traceback") == 1, stderr  # workers keep quiet
    assert stderr.rstrip().endswith("KeyboardInterrupt")
    wait_until(lambda: not any(map(is_running, pids)))
    assert [p.name for p in run.folder.iterdir() if not p.name.startswith("started-")] == ["scene.tif"]


@each(m for m in MANAGERS if m.survives_sigkill and m.same_machine)
def test_workers_leave_when_main_is_killed(run: Run, manager: Manager) -> None:
    process, pids = start_slow_script(run, manager)

    process.kill()
    process.communicate()

    wait_until(lambda: not any(map(is_running, pids)))
    assert not run.target.exists()


# -- otherArgs


def survey(info: Any, inputs: Any, outputs: Any, other: Any) -> None:
    other.total += int(inputs.image.sum())
    other.lowest = min(other.lowest, int(inputs.image.min()))
    other.highest = np.maximum(other.highest, inputs.image.max(axis=(1, 2)))
    if info.getBlockCount()[0] == 0:
        other.rows.append(info.getBlockCount()[1])
    outputs.result = inputs.image


def survey_arguments() -> applier.OtherInputs:
    other = applier.OtherInputs()
    other.total, other.lowest, other.highest, other.rows = 10, 255, np.zeros(2, np.uint8), [-1]
    other.title = "unchanged"
    return other


@each_manager
def test_other_args_are_merged_by_their_rules(run: Run, manager: Manager) -> None:
    other = survey_arguments()
    controls = run.controls(manager)
    for name, rule in {"total": "sum", "lowest": "min", "highest": "max", "rows": "concat"}.items():
        controls.setOtherArgsMerge(name, rule)
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image = run.folder / "scene.tif"
    outfiles.result = run.target

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = applier.apply(survey, infiles, outfiles, other, controls=controls)

    assert result.otherArgs is other
    assert other.total == 10 + int(SCENE.sum())
    assert other.lowest == SCENE.min()
    np.testing.assert_array_equal(other.highest, SCENE.max(axis=(1, 2)))
    assert other.rows == [-1, 0, 1, 2]
    assert other.title == "unchanged"


@each_manager
def test_other_args_without_a_rule_are_never_lost_silently(run: Run, manager: Manager) -> None:
    other = survey_arguments()

    if manager.shares_other_args:
        result = run(survey, manager, other)
        assert result.otherArgsList == [other]
        assert other.total == 10 + int(SCENE.sum())
        return
    with pytest.warns(RiosBatchWarning, match="otherArgs.highest, otherArgs.lowest, .*have no merge rule"):
        result = run(survey, manager, other)
    assert other.total == 10
    assert sum(copy.total - 10 for copy in result.otherArgsList) == int(SCENE.sum())
    assert len(result.otherArgsList) == len(result.tiles)
    assert {copy.title for copy in result.otherArgsList} == {"unchanged"}


@each_manager
def test_runs_without_outputs(run: Run, manager: Manager) -> None:
    def count(_info: Any, inputs: Any, _outputs: Any, other: Any) -> None:
        other["pixels"] += inputs.image[0].size

    other = {"pixels": 0}
    controls = run.controls(manager)
    controls.setOtherArgsMerge("pixels", "sum")
    infiles = applier.FilenameAssociations()
    infiles.image = run.folder / "scene.tif"

    applier.apply(count, infiles, applier.FilenameAssociations(), other, controls=controls)

    assert other["pixels"] == 90 * 70


def test_a_list_as_other_args_is_refused_when_changes_could_not_come_back(run: Run) -> None:
    with pytest.raises(ParameterError, match="otherArgs is a list.*OtherInputs or a dict"):
        run(lambda *_: None, Manager("threads", 2, False, False, False), [1])


# -- scripts


@each_builtin
def test_a_script_without_a_main_guard_and_with_a_helper_module_runs(run: Run, manager: Manager) -> None:
    (run.folder / "my_helpers.py").write_text("def triple(a):\n    return a.astype('u2') * 3\n")
    (run.folder / "script.py").write_text(
        textwrap.dedent("""
            import sys
            from rios_batch import applier, cuiprogress
            from my_helpers import triple

            def work(info, inputs, outputs):
                outputs.result = triple(inputs.image)

            infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
            infiles.image, outfiles.result = "scene.tif", "out.tif"
            controls = applier.ApplierControls()
            controls.setProgress(cuiprogress.GDALProgressBar())
            controls.setNumThreads(int(sys.argv[2]))
            controls.setJobManagerType(sys.argv[1])
            applier.apply(work, infiles, outfiles, controls=controls)
        """)
    )

    done = subprocess.run(
        [sys.executable, "script.py", manager.type, str(manager.threads)],
        cwd=run.folder,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "0...10...20...30...40...50...60...70...80...90...100 - done.\n"
    assert done.stderr == ""
    np.testing.assert_array_equal(read_raster(run.target), SCENE.astype(np.uint16) * 3)


class Watcher:
    """A progress object that remembers, and cancels at a percentage."""

    def __init__(self, cancel_at: int = 101) -> None:
        self.seen: list[int] = []
        self.steps, self.cancel_at = 0, cancel_at

    def setTotalSteps(self, steps: int) -> None:  # noqa: N802 - RIOS's name
        self.steps = steps

    def setProgress(self, progress: int) -> None:  # noqa: N802 - RIOS's name
        self.seen.append(progress)

    def setLabelText(self, text: str) -> None:  # noqa: N802 - RIOS's name
        raise AssertionError(text)

    def reset(self) -> None:
        self.seen.clear()

    def wasCancelled(self) -> bool:  # noqa: N802 - RIOS's name
        return bool(self.seen) and self.seen[-1] >= self.cancel_at


@each_manager
def test_progress_goes_up_to_100_and_is_told_only_changes(run: Run, manager: Manager) -> None:
    watcher = Watcher()

    run(double, manager, setProgress=watcher)

    assert watcher.steps == 100
    assert watcher.seen == [0, 11, 22, 33, 44, 55, 66, 77, 88, 100]


@each_manager
def test_cancelling_stops_the_run_and_leaves_nothing(run: Run, manager: Manager) -> None:
    with pytest.raises(ProcessCancelledError, match="cancelled after 3 of 9 tiles"):
        run(double, manager, setProgress=Watcher(cancel_at=33))
    run.assert_nothing_left()


@each_builtin
def test_gdal_threads_used_before_the_run_do_not_hang_the_workers(run: Run, manager: Manager) -> None:
    script = """
        import sys
        from osgeo import gdal
        from rios_batch import applier

        gdal.SetConfigOption("GDAL_NUM_THREADS", "2")  # a pool that a forked worker inherits without its threads
        gdal.Translate("threaded.tif", "scene.tif", creationOptions=["TILED=YES", "COMPRESS=DEFLATE"])

        def copy(info, inputs, outputs):
            outputs.result = inputs.image

        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        infiles.image, outfiles.result = "threaded.tif", "out.tif"
        controls = applier.ApplierControls()
        controls.setCreationOptions(["TILED=YES", "COMPRESS=DEFLATE", "NUM_THREADS=2"])
        controls.setNumThreads(int(sys.argv[2]))
        controls.setJobManagerType(sys.argv[1])
        applier.apply(copy, infiles, outfiles, controls=controls)
    """
    make_raster(
        run.folder / "scene.tif", np.tile(SCENE, (1, 8, 8))
    )  # several TIFF blocks, or no thread starts

    done = run_script(run.folder, script, manager.type, str(manager.threads))

    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(read_raster(run.target), np.tile(SCENE, (1, 8, 8)))


@each_here
def test_what_the_function_prints_arrives_in_a_file_too(run: Run, manager: Manager) -> None:
    (run.folder / "script.py").write_text(
        textwrap.dedent("""
            import sys
            from rios_batch import applier

            def chatty(info, inputs, outputs):
                print("block", info.getBlockCount())
                outputs.result = inputs.image

            infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
            infiles.image, outfiles.result = "scene.tif", "out.tif"
            controls = applier.ApplierControls()
            controls.setWindowSize(32, 32)
            controls.setNumThreads(int(sys.argv[2]))
            controls.setJobManagerType(sys.argv[1])
            applier.apply(chatty, infiles, outfiles, controls=controls)
        """)
    )
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with (run.folder / "printed").open("w") as printed:
        subprocess.run(
            [sys.executable, "script.py", manager.type, str(manager.threads)],
            cwd=run.folder,
            env=buffered,
            stdout=printed,
            check=True,
        )

    lines = (run.folder / "printed").read_text().splitlines()
    assert sorted(lines) == sorted(f"block {(x, y)}" for x in range(3) for y in range(3))


@each_here
def test_a_helper_module_that_cannot_travel_by_value_is_found_by_name(run: Run, manager: Manager) -> None:
    (run.folder / "my_locked_helper.py").write_text(
        "import threading\nLOCK = threading.Lock()\ndef triple(a):\n    return a.astype('u2') * 3\n"
    )
    script = """
        import sys
        from rios_batch import applier
        import my_locked_helper

        def work(info, inputs, outputs):
            outputs.result = my_locked_helper.triple(inputs.image)

        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        infiles.image, outfiles.result = "scene.tif", "out.tif"
        controls = applier.ApplierControls()
        controls.setNumThreads(int(sys.argv[2]))
        controls.setJobManagerType(sys.argv[1])
        applier.apply(work, infiles, outfiles, controls=controls)
    """

    done = run_script(run.folder, script, manager.type, str(manager.threads))

    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(read_raster(run.target), SCENE.astype(np.uint16) * 3)


@each_manager
def test_a_function_may_change_the_working_directory(
    run: Run, manager: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wander(info: Any, inputs: Any, outputs: Any) -> None:
        os.chdir(tmp_path)
        assert info.getFilenameFor(inputs.image) == "scene.tif"
        outputs.result = inputs.image

    monkeypatch.chdir(run.folder)  # and back again afterwards
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.result = "scene.tif", "out.tif"

    applier.apply(wander, infiles, outfiles, controls=run.controls(manager))

    np.testing.assert_array_equal(read_raster(run.target), SCENE)


@each_manager
def test_failed_runs_keep_no_descriptors_open(run: Run, manager: Manager) -> None:
    def open_descriptors() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    def fail() -> None:
        with pytest.raises(UserFunctionError):
            run(explode, manager)

    fail()  # what is opened once, such as GDAL's own files
    before = open_descriptors()
    gc.disable()
    try:
        for _ in range(3):
            fail()
        assert open_descriptors() <= before
    finally:
        gc.enable()


@each_manager
def test_an_attribute_that_is_only_read_is_unpickled_once_for_each_worker(run: Run, manager: Manager) -> None:
    other = applier.OtherInputs(table=Costly(), n=0)

    def read(_info: Any, inputs: Any, outputs: Any, other: Any) -> None:
        assert other.table.made_here
        outputs.result = inputs.image

    Costly.unpickled = 0
    run(read, manager, other)

    assert Costly.unpickled <= manager.threads


class Costly:
    """Counts how often it is unpickled in this process."""

    unpickled = 0
    made_here = True

    def __setstate__(self, state: dict[str, Any]) -> None:
        Costly.unpickled += 1
        self.__dict__.update(state)

    def __getstate__(self) -> dict[str, Any]:
        return {"some": "thing"}


def test_processes_cannot_start_in_a_worker_and_say_what_to_use(run: Run) -> None:
    manager = Manager("multiprocessing", 2, True, True, False)

    def nested(_info: Any, inputs: Any, outputs: Any) -> None:
        run(double, manager)
        outputs.result = inputs.image

    with pytest.raises(UserFunctionError, match="JobMgrError: 'multiprocessing' cannot start workers inside"):
        run(nested, manager)


# -- choosing a manager


def test_more_threads_without_a_type_use_processes(run: Run) -> None:
    controls = run.controls(MANAGERS[0])
    controls.setNumThreads(2)
    controls.setJobManagerType(None)
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.result = run.folder / "scene.tif", run.target

    assert applier.apply(double, infiles, outfiles, controls=controls).jobManagerType == "multiprocessing"


def test_the_environment_can_choose_the_manager(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIOS_DFLT_JOBMGRTYPE", "threads")
    controls = applier.ApplierControls()
    controls.setNumThreads(2)
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.result = run.folder / "scene.tif", run.target

    assert applier.apply(double, infiles, outfiles, controls=controls).jobManagerType == "threads"


def test_one_thread_needs_no_manager_whatever_the_type(run: Run) -> None:
    result = run(double, Manager("multiprocessing", 1, True, True, False))

    assert {record.worker for record in result.tiles} == {"the main process"}


def test_unknown_managers_are_refused_with_what_to_use() -> None:
    with pytest.raises(JobMgrError, match="'zzz' is not known; there are .*'multiprocessing'"):
        getJobManagerClassByType("zzz")
    with pytest.raises(JobMgrError, match="'slurm' is not known.*use 'multiprocessing' in one job"):
        getJobManagerClassByType("slurm")


def test_processes_can_be_spawned_where_forking_is_not_safe(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_CONTEXT", multiprocessing.get_context("spawn"))

    run(double, Manager("multiprocessing", 2, True, True, False))

    np.testing.assert_array_equal(read_raster(run.target), SCENE.astype(np.uint16) * 2)
