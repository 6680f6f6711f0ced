"""The objects of one run in the exchange bucket.

runs/<run id>/run.json              what the run is: format, versions, tile plan, fingerprints
runs/<run id>/main.json             the main that controls the run, and what that main has started
runs/<run id>/ended/<queue>         a main that has lost the run to another main, or to whoever cancelled it
runs/<run id>/alive                 that main's last sign of life
runs/<run id>/job.pkl               function and arguments, pickled once; the only pickle
runs/<run id>/inputs/...            local inputs, staged once
runs/<run id>/inputs.json           where workers find them
runs/<run id>/compressions.json     how outputs are compressed, once main has chosen
runs/<run id>/tiles/0000012         a finished tile; the first to write it wins
runs/<run id>/merges/0000003.json   the small blobs that are to be put end to end
runs/<run id>/merged/0000003        small blobs end to end
runs/<run id>/failures/...json      what went wrong
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass, field
from typing import TYPE_CHECKING, Any

from rios_batch.awsbatch.decoding import decoding, json_object, text, whole
from rios_batch.awsbatch.failurerecord import MOST_BYTES, Failure
from rios_batch.awsbatch.versions import RUN_FORMAT
from rios_batch.contract import CAMPAIGN_MARK, POOL_MARK, RUNS_PREFIX
from rios_batch.errors import DamagedObjectError, JobMgrError, MissingObjectError, VersionMismatchError
from rios_batch.model.blobs import Blob
from rios_batch.model.tiles import TilePlan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rios_batch.aws.objects import Bucket, ObjectInfo
    from rios_batch.model.creationoptions import Compression

_DIGITS = 7
_MOST_JSON_BYTES = 2**26  # of a description; it has a line or so for each input and output
_FAILURE = re.compile(rf"(worker|\d{{{_DIGITS}}})-[0-9a-f]{{32}}\.json")
_OPTION = re.compile(r"(ZLEVEL|PREDICTOR)=\d{1,2}")  # what main chooses
_FETCHES = 8  # at a time


@dataclass(frozen=True)
class InputCopy:
    """A local input's copy in S3.

    Attributes
    ----------
    name : the copy's GDAL name.
    fetch : keys and sizes in bytes of the files that a worker must fetch, since GDAL cannot read them from S3.
    """

    name: str
    fetch: Mapping[str, int] = field(default_factory=dict)


class RunStore:
    """Stores and fetches the objects of one run. Threads may share it."""

    def __init__(self, bucket: Bucket, run_id: str) -> None:
        self.bucket, self.run_id = bucket, run_id
        self._prefix = f"{RUNS_PREFIX}{run_id}/"

    @property
    def inputs_prefix(self) -> str:
        return f"{self._prefix}inputs"

    # -- what the run is

    def put_description(self, description: dict[str, Any]) -> None:
        """Store what the run is, as JSON, with the number of this format."""
        self._put_json("run.json", {"format": RUN_FORMAT, **description})

    def description(self) -> dict[str, Any]:
        """Return what the run to be resumed is.

        Raises
        ------
        JobMgrError : there is no such run, or none any more.
        VersionMismatchError : a rios_batch with another format began the run.
        """
        found = self.raw_description()
        begun = found.get("format", 1)
        if begun != RUN_FORMAT:
            raise VersionMismatchError(
                f"run {self.run_id} was begun by {'an older' if begun < RUN_FORMAT else 'a newer'} rios_batch and "
                "cannot be resumed; start it again without resume (neither setResume nor RIOS_AWSBATCH_RESUME)"
            )
        return found

    def description_for_worker(self) -> dict[str, Any]:
        """Return what the run is that a worker works for.

        Raises
        ------
        JobMgrError : there is no such run, or none any more.
        VersionMismatchError : main has a rios_batch with another format.
        """
        found = self.raw_description()
        mains = found.get("format", 1)
        if mains != RUN_FORMAT:
            raise VersionMismatchError(
                f"main writes runs of format {mains}, the workers read format {RUN_FORMAT}: build their image again "
                "from main's version of rios_batch (`npx cdk deploy`), or run main with the stack's version"
            )
        return found

    def exists(self) -> bool:
        """Say whether the run is still there; a run that is over is deleted."""
        return self.bucket.head(f"{self._prefix}run.json") is not None

    def raw_description(self) -> dict[str, Any]:
        """Return what the run is, whatever the format.

        Raises
        ------
        JobMgrError : there is no such run, or none any more.
        RecordError : the object is no description of a run.
        """
        try:
            data = self.bucket.get(f"{self._prefix}run.json", most_bytes=_MOST_JSON_BYTES)
        except MissingObjectError:
            raise JobMgrError(
                f"there is no run {self.run_id} in bucket {self.bucket.name}; it was finished, or has expired"
            ) from None
        with decoding(f"run.json of run {self.run_id}, which somebody must have changed,"):
            found = json_object(data)
            if whole(found.setdefault("format", 1)) == RUN_FORMAT:
                _check_description(found)
            return found

    def plan(self) -> TilePlan:
        """Return the run's tiles, by its description.

        Raises
        ------
        JobMgrError : there is no such run, or none any more.
        RecordError : the description is none of this format.
        """
        description = self.raw_description()
        with decoding(f"run.json of run {self.run_id}"):
            return TilePlan.from_description(description["plan"])

    def put_job(self, pickled: bytes) -> str:
        """Store the pickled job; return the pickle's SHA-256."""
        return self._put_signed("job.pkl", pickled)

    def job(self, sha256: str) -> bytes:
        """Fetch the pickled job.

        Raises
        ------
        DamagedObjectError : the object is not the job that main submitted, and must not be unpickled.
        """
        return self._get_signed("job.pkl", sha256)

    def put_staged_inputs(self, copies: Mapping[str, InputCopy]) -> str:
        """Say where workers find the inputs that were local files, by the path that the spec says.

        Return the SHA-256 of what was stored: the names lead workers to files and hosts, and others may write here.
        """
        listed = json.dumps({path: asdict(copy) for path, copy in copies.items()})
        return self._put_signed("inputs.json", listed.encode())

    def staged_inputs(self, sha256: str) -> dict[str, InputCopy]:
        """Return what `put_staged_inputs` has stored. Main stages inputs before main submits workers.

        Raises
        ------
        DamagedObjectError : the object is not what main has stored.
        """
        described = json.loads(self._get_signed("inputs.json", sha256))
        return {path: InputCopy(**copy) for path, copy in described.items()}

    def _put_signed(self, name: str, data: bytes) -> str:
        self.bucket.put(f"{self._prefix}{name}", data)
        return hashlib.sha256(data).hexdigest()

    def _get_signed(self, name: str, sha256: str) -> bytes:
        data = self.bucket.get(f"{self._prefix}{name}")
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            raise DamagedObjectError(
                f"{name} of run {self.run_id} has SHA-256 {found}, main submitted {sha256 or 'none'}; somebody has "
                "changed it, and it is not used"
            )
        return data

    # -- the main that controls the run

    def put_main(self, queue_url: str, job_name: str) -> None:
        """Say what this main has started, so that a later main can end it."""
        self._put_json("main.json", {"queue_url": queue_url, "job_name": job_name})

    def last_main(self) -> tuple[str, str] | None:
        """Return queue URL and job name of the last main, if there was one.

        Raises
        ------
        RecordError : the object is something else.
        """
        try:
            data = self.bucket.get(f"{self._prefix}main.json", most_bytes=_MOST_JSON_BYTES)
        except MissingObjectError:
            return None
        with decoding(f"main.json of run {self.run_id}, which somebody must have changed,"):
            found = json_object(data)
            return text(found["queue_url"]), text(found["job_name"])

    def end_main(self, queue_url: str) -> None:
        """Say, for a main that may still be there, that its run is no longer its own."""
        self.bucket.put(self._ended_key(queue_url), b"")

    def is_ended(self, queue_url: str) -> bool:
        """Say whether somebody has ended the main that has made a queue."""
        return self.bucket.head(self._ended_key(queue_url)) is not None

    def _ended_key(self, queue_url: str) -> str:
        return f"{self._prefix}ended/{queue_url.rpartition('/')[2]}"

    def show_life(self) -> None:
        """Say that main is there."""
        self.bucket.put(f"{self._prefix}alive", b"")

    def forget_life(self) -> None:
        """Say that main has ended."""
        self.bucket.delete([f"{self._prefix}alive"])

    def last_sign_of_life(self) -> float | None:
        """Return when main last was there, in seconds since 1970; None if main has ended."""
        found = self.bucket.head(f"{self._prefix}alive")
        return None if found is None else found.modified_s

    # -- what main chooses while workers are at work

    def put_compressions(self, compressions: Sequence[Compression | None]) -> None:
        """Say how each output is compressed, as far as that is chosen."""
        self._put_json("compressions.json", compressions)

    def compressions(self) -> tuple[Compression | None, ...]:
        """Return how each output is compressed, as far as that is chosen; nothing at all before the first choice.

        Raises
        ------
        RecordError : the object is something else, or names other options than main chooses.
        """
        try:
            data = self.bucket.get(f"{self._prefix}compressions.json", most_bytes=_MOST_JSON_BYTES)
        except MissingObjectError:
            return ()
        with decoding(f"compressions.json of run {self.run_id}, which somebody must have changed,"):
            return tuple(
                None if options is None else tuple(map(_option, options)) for options in json.loads(data)
            )

    # -- tiles

    def has_tile(self, index: int) -> bool:
        """Say whether a tile is finished."""
        return self.bucket.head(self._tile_key(index)) is not None

    def commit_tile(self, index: int, data: bytes) -> bool:
        """Store a finished tile; False if another worker was first."""
        return self.bucket.put_new(self._tile_key(index), data) is not None

    def tiles(self, first: int = 0) -> Iterator[tuple[int, ObjectInfo]]:
        """Yield the finished tiles from number ``first`` on, in order. Objects with other names are not looked at."""
        start_after = self._tile_key(first - 1) if first else ""
        for found in self.bucket.list_objects(f"{self._prefix}tiles/", start_after=start_after):
            number = self.tile_of_key(found.key)
            if number is not None:
                yield number, found

    def tile_number(self, found: ObjectInfo) -> int:
        """Return the number of the tile that an object is meant to hold, by its name."""
        return int(found.key[-_DIGITS:])

    def tile_of_key(self, key: str) -> int | None:
        """Return the number of the tile whose object has a key; None if it is no tile's."""
        return _number(key, f"{self._prefix}tiles/")

    def set_aside(self, index: int) -> None:
        """Remove a damaged tile, so that a worker's new one can have its place."""
        self.bucket.delete([self._tile_key(index)])

    def _tile_key(self, index: int) -> str:
        return f"{self._prefix}tiles/{index:0{_DIGITS}d}"

    # -- merged blobs

    def put_merge(self, number: int, blobs: Sequence[Blob]) -> str:
        """Say which blobs a merge is made of; return the SHA-256 of what was stored."""
        listed = json.dumps([astuple(blob) for blob in blobs])
        return self._put_signed(_merge_name(number), listed.encode())

    def merge(self, number: int, sha256: str) -> None:
        """Put the blobs of a merge end to end into one object.

        Raises
        ------
        DamagedObjectError : the list of blobs is not what main has stored, or a blob not what a worker has.
        """
        listed = json.loads(self._get_signed(_merge_name(number), sha256))
        with ThreadPoolExecutor(_FETCHES) as executor:
            pieces = executor.map(self.bucket.read, (Blob(*fields) for fields in listed))
            data = b"".join(pieces)
        self.bucket.put_new(f"{self._prefix}merged/{number:0{_DIGITS}d}", data)

    def merged(self, first: int = 0) -> Iterator[tuple[int, ObjectInfo]]:
        """Yield the merged blobs that are there, from number ``first`` on, in order. Others are not looked at."""
        prefix = f"{self._prefix}merged/"
        start_after = f"{prefix}{first - 1:0{_DIGITS}d}" if first else ""
        for found in self.bucket.list_objects(prefix, start_after=start_after):
            if (number := _number(found.key, prefix)) is not None:
                yield number, found

    def forget_merges(self) -> None:
        """Remove what an earlier main has had merged: another main numbers merges anew."""
        for folder in ("merges", "merged"):
            self.bucket.delete([found.key for found in self.bucket.list_objects(f"{self._prefix}{folder}/")])

    # -- failures

    def put_failure(self, failure: Failure) -> None:
        """Store what went wrong."""
        what = "worker" if failure.tile is None else f"{failure.tile:0{_DIGITS}d}"
        self.bucket.put(f"{self._prefix}failures/{what}-{uuid.uuid4().hex}.json", failure.encode())

    def failures(self, tile: int | None = None) -> list[str]:
        """Return the keys of all failures, or of those of one tile. Objects with other names are not looked at."""
        folder = f"{self._prefix}failures/"
        what = "" if tile is None else f"{tile:0{_DIGITS}d}-"
        found = [found.key for found in self.bucket.list_objects(f"{folder}{what}")]
        return [key for key in found if _FAILURE.fullmatch(key[len(folder) :])]

    def failure(self, key: str) -> Failure:
        """Fetch a failure.

        Raises
        ------
        RecordError : the object is no failure's record.
        """
        return Failure.decode(self.bucket.get(key, most_bytes=MOST_BYTES))

    def forget_failures(self) -> None:
        """Remove the failures that an earlier main has seen, which are no longer true."""
        self.bucket.delete([found.key for found in self.bucket.list_objects(f"{self._prefix}failures/")])

    # -- the end

    def objects(self) -> Iterator[ObjectInfo]:
        """Yield everything of the run."""
        return self.bucket.list_objects(self._prefix)

    def delete(self) -> None:
        """Remove everything of the run."""
        self.bucket.delete([found.key for found in self.objects()])

    def _put_json(self, name: str, content: Any) -> None:
        self.bucket.put(f"{self._prefix}{name}", json.dumps(content).encode())


def run_ids(bucket: Bucket) -> Iterator[str]:
    """Yield the ids of the runs that have left something in the exchange bucket."""
    return (
        name for name in bucket.list_folders(RUNS_PREFIX) if not name.startswith((CAMPAIGN_MARK, POOL_MARK))
    )


def newest_run(bucket: Bucket, beginning: str) -> str | None:
    """Return the id of the newest run whose id begins with ``beginning``, or None if there is no such run.

    Ids go on with the time when the run began.
    """
    keys = (found.key for found in bucket.list_objects(f"{RUNS_PREFIX}{beginning}"))
    ids = {match[1] for key in keys if (match := re.fullmatch(rf"{RUNS_PREFIX}([^/]+)/run\.json", key))}
    return max(ids, default=None)


def _merge_name(number: int) -> str:
    return f"merges/{number:0{_DIGITS}d}.json"


def _number(key: str, folder: str) -> int | None:
    """Return the number that is all of a key behind a folder; None if there is something else."""
    name = key.removeprefix(folder)
    is_number = key.startswith(folder) and len(name) == _DIGITS and name.isascii() and name.isdecimal()
    return int(name) if is_number else None


def _option(value: Any) -> str:
    if not _OPTION.fullmatch(text(value)):
        raise ValueError(f"{value!r:.50} is no option that main chooses")
    return str(value)


def _check_description(found: dict[str, Any]) -> None:
    """See that a description has the types that those who read it rely on.

    Raises
    ------
    KeyError, TypeError, ValueError : it has not.
    """
    plan = TilePlan.from_description(found["plan"])
    for number in (*astuple(plan.blocks), plan.tile_xblocks, plan.tile_yblocks):
        whole(number, 1, 2**31 - 1)
    whole(len(plan), 1, 10**_DIGITS)
    origin = found.setdefault("origin", {})
    for one in (found.setdefault("image", ""), origin.get("folder", ""), origin.get("host", "")):
        text(one)
    for several in (found.setdefault("outputs", []), origin.get("command", [])):
        _texts(several)
    for mapping in (found["versions"], found["fingerprints"]):
        _texts([*mapping.keys(), *mapping.values()])


def _texts(values: Any) -> None:
    if not isinstance(values, list):
        raise TypeError(f"not a list but a {type(values).__name__}")
    for value in values:
        text(value)
