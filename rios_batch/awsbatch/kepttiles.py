"""Finished tiles of a run on this machine, kept on disk so that the run outlives its process.

They lie in a hidden folder beside the run's first output, in the form in which workers on AWS Batch leave theirs: data,
no pickles. What an earlier process has left is gone on with if the run is the same, by the checks of AWS Batch.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rios_batch.awsbatch.decoding import RecordError
from rios_batch.awsbatch.fingerprint import check_same, fingerprints
from rios_batch.awsbatch.jsonvalues import ArrayPile, encode_value
from rios_batch.awsbatch.tileformat import decode_head, encode_tile
from rios_batch.awsbatch.versions import mismatch, versions
from rios_batch.compute.otherargs import pickle_or_none, unpickled
from rios_batch.errors import JobMgrError, OutputError, ParameterError, VersionMismatchError
from rios_batch.jobmanagers.base import Run
from rios_batch.jobmanagers.ownership import Ownership, owner_of, remove_dead_folders, taken_over
from rios_batch.jobmanagers.pickling import dump_other_args
from rios_batch.model.s3names import SCHEME
from rios_batch.model.tileresult import TileResult
from rios_batch.model.tiles import TilePlan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rios_batch.awsbatch.tileformat import TileHead
    from rios_batch.model.creationoptions import Compression
    from rios_batch.model.runreport import RunFacts
    from rios_batch.model.spec import RunSpec

log = logging.getLogger("rios_batch")

_DIGITS = 7


class KeptTiles:
    """The folder of one run.

    Attributes
    ----------
    spec : the run, with the tile plan and the compressions of the process that began it.
    finished : tiles that an earlier process has left.
    committed : all outputs are in their places.
    """

    def __init__(self, folder: Path, ownership: Ownership, spec: RunSpec) -> None:
        self.committed = False
        self.folder, self._ownership, self.spec = folder, ownership, spec
        self.finished = frozenset(self._found())

    @classmethod
    def open(cls, spec: RunSpec, other_args: Any, *, resume: bool) -> KeptTiles | None:
        """Return the folder of a run, new or of an earlier process; None where nothing is to be kept.

        Parameters
        ----------
        resume : tiles are to be kept, and those of an earlier process to be used. Otherwise what a dead process has
            left is removed.

        Raises
        ------
        JobMgrError : something has changed since the earlier process, or that process lives.
        VersionMismatchError : the earlier process had other versions.
        OutputError : the folder cannot be written.
        """
        outputs = [output.path for output in spec.outputs]
        local = [os.path.realpath(path) for path in outputs if not path.startswith(SCHEME)]
        if not local:
            if resume and outputs:
                log.warning(
                    "setResume has no effect: all outputs are in S3, and no tile is kept on this machine"
                )
            return None
        digest = hashlib.sha256("\0".join(map(os.path.abspath, outputs)).encode()).hexdigest()[:10]
        first = Path(local[0])
        folder = first.parent / f".{first.name[:32]}-tiles-{digest}"
        if not resume:
            remove_dead_folders(folder.parent, folder.name)
            return None
        try:
            return cls._opened(folder, spec, fingerprints(spec, other_args))
        except OSError as error:
            raise OutputError(
                f"finished tiles cannot be kept in {str(folder)!r}: {error.strerror}; run without setResume"
            ) from error

    @classmethod
    def _opened(cls, folder: Path, spec: RunSpec, found: dict[str, str]) -> KeptTiles:
        if not folder.exists():
            return cls(folder, _begin(folder, spec, found), spec)
        ownership = taken_over(folder)
        if ownership is None:
            raise JobMgrError(
                f"another run with these outputs is at work ({owner_of(folder)}), or was, on another machine: wait for "
                f"its end; if there is no such process any more, remove the folder {str(folder)!r}"
            )
        try:
            return cls(folder, ownership, _as_begun(spec, folder, found))
        except BaseException:
            ownership.close()
            raise

    def _found(self) -> Iterator[int]:
        """Yield the tiles that are whole; what is not is removed, and computed again."""
        for number in range(len(self.spec.plan)):
            path = self._path(number)
            if path.exists():
                try:
                    self._checked(number)
                except (RecordError, OSError):
                    path.unlink(missing_ok=True)
                else:
                    yield number

    def _path(self, number: int) -> Path:
        return self.folder / "tiles" / f"{number:0{_DIGITS}d}"

    def read(self, number: int) -> TileResult:
        """Return a tile's result.

        Raises
        ------
        RecordError : the file is not the tile's, or is damaged.
        """
        head, data = self._checked(number)
        outputs = tuple(
            part.output(data[part.start : part.start + part.size], head.record.window) for part in head.parts
        )
        changes = {name: pickle_or_none(value) for name, value in head.other_args.items()}
        return TileResult(head.record, outputs, changes)

    def _checked(self, number: int) -> tuple[TileHead, memoryview]:
        """Return a tile's head and its whole file; pixels are compared with their checksum, and not unpacked."""
        path = self._path(number)
        content = path.read_bytes()
        head, data = decode_head(content, self.spec.plan), memoryview(content)
        whole = all(
            zlib.crc32(data[part.start : part.start + part.size]) == part.crc32 for part in head.parts
        )
        if not whole or (head.run_id, head.record.tile) != (self.folder.name, number):
            raise RecordError(f"{path} does not hold tile {number}, or is damaged")
        return head, data

    def put(self, result: TileResult) -> None:
        """Keep a tile's result, unless it has changes of otherArgs that are not data.

        Raises
        ------
        OutputError : the disk is full, say.
        """
        values = unpickled(result.other_args)
        try:
            for name, value in values.items():
                encode_value(value, ArrayPile(), name)
        except ParameterError:
            return
        data = encode_tile(self.folder.name, result.record, result.outputs, values)
        self._write(self._path(result.record.tile), data)

    def put_compressions(self, compressions: tuple[Compression | None, ...]) -> None:
        """Keep how outputs are compressed, as far as that is chosen."""
        self._write(self.folder / "compressions.json", json.dumps(compressions).encode())

    def _write(self, path: Path, data: bytes) -> None:
        new = path.with_suffix(".new")
        try:
            new.write_bytes(data)
            new.replace(path)
        except OSError as error:
            raise OutputError(
                f"finished tiles cannot be kept in {str(self.folder)!r}: {error.strerror}; make room, which the tiles "
                "need until the outputs are complete, or run without setResume"
            ) from error

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _names(self) -> list[str]:
        try:
            return [path.name for path in (self.folder / "tiles").iterdir()]
        except FileNotFoundError:  # nothing is kept any more
            return []

    def close(self) -> None:
        """Let go of the folder; it stays if the run has not finished, and has finished tiles."""
        kept = 0 if self.committed else sum(name.isdecimal() for name in self._names())
        if kept:
            log.warning(
                "%d of %d tiles are finished and kept in %s; to go on from there run the script again with "
                "controls.setResume(True), to begin anew without",
                *(kept, len(self.spec.plan), self.folder),
            )
        else:
            self.remove()
        self._ownership.close()


class KeptRun(Run):
    """A job manager's run whose finished tiles are kept.

    Parameters
    ----------
    run : the manager's, which need not compute what is finished.
    shared : otherArgs that all tiles work on, which no tile may change if tiles are to be kept; None for copies.
    """

    def __init__(self, run: Run, kept: KeptTiles, shared: Any) -> None:
        super().__init__(run.spec)
        self._run, self._kept, self._shared = run, kept, shared
        self._before = None if shared is None else dump_other_args(shared)
        self._keeps = True

    def __enter__(self) -> Self:
        self._run.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._run.__exit__(*error)

    def __iter__(self) -> Iterator[TileResult]:
        """Yield kept tiles when their turn comes, so that few are in memory."""
        finished, turn, given = self._kept.finished, 0, set[int]()
        results = (result for result in self._run if result.record.tile not in finished)
        while True:
            while turn in finished or turn in given:
                if turn in finished:
                    yield self._kept.read(turn)
                turn += 1
            if (result := next(results, None)) is None:
                return
            self._keep(result)
            given.add(result.record.tile)
            yield result

    def _keep(self, result: TileResult) -> None:
        if self._keeps and self._before is not None and dump_other_args(self._shared) != self._before:
            log.warning(
                "no tiles are kept: the function changes otherArgs itself; use more than one worker for that"
            )
            self._kept.remove()
            self._keeps = False
        if self._keeps:
            self._kept.put(result)

    def compressions_chosen(self, compressions: tuple[Compression | None, ...]) -> None:
        self._run.compressions_chosen(compressions)
        if self._keeps:
            self._kept.put_compressions(compressions)

    def facts(self) -> RunFacts:
        return self._run.facts()

    def outputs_committed(self) -> None:
        self._kept.committed = True
        self._run.outputs_committed()


def _begin(folder: Path, spec: RunSpec, found: dict[str, str]) -> Ownership:
    """Make the folder, which nobody sees before it is complete."""
    new = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    ownership = Ownership(new)
    try:
        (new / "tiles").mkdir()
        description = {"versions": versions(), "plan": asdict(spec.plan), "fingerprints": found}
        (new / "run.json").write_text(json.dumps(description))
        new.rename(folder)
        ownership.folder = folder
    except BaseException:
        ownership.close()
        shutil.rmtree(new, ignore_errors=True)
        raise
    return ownership


def _as_begun(spec: RunSpec, folder: Path, found: dict[str, str]) -> RunSpec:
    """Return the spec with the plan and the compressions of the process that began the run, if the run is the same."""
    try:
        description = json.loads((folder / "run.json").read_text())
        plan = TilePlan.from_description(description["plan"])
        begun, had = description["fingerprints"], description["versions"]
        chosen = folder / "compressions.json"
        compressions = json.loads(chosen.read_text()) if chosen.exists() else []
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise JobMgrError(
            f"folder {str(folder)!r} cannot be read ({error!r}); begin anew without setResume"
        ) from error
    if problem := mismatch(had, versions()):
        raise VersionMismatchError(
            f"the tiles in {str(folder)!r} were computed with other versions: {problem}; begin anew without setResume"
        )
    check_same(begun, found, f"in {str(folder)!r}")
    log.info("going on from the tiles in %s", folder)
    return spec.with_plan(plan).compressed(tuple(None if one is None else tuple(one) for one in compressions))
