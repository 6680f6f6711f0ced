"""Where everything of one run lies in the exchange bucket, and how it gets there.

runs/<run id>/run.json              what the run is: versions, tile plan, fingerprints (for workers and for resuming)
runs/<run id>/job.pkl               function and arguments, pickled once; the only pickle
runs/<run id>/inputs/...            local inputs, staged once
runs/<run id>/tiles/0000012         a finished tile; the first to write it wins
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

from rios_batch.awsbatch.records import Failure
from rios_batch.contract import RUNS_PREFIX
from rios_batch.errors import JobMgrError, MissingObjectError
from rios_batch.model.blobs import Blob

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rios_batch.aws.objects import Bucket, ObjectInfo

_DIGITS = 7
_FETCHES = 8  # at a time


@dataclass(frozen=True)
class InputCopy:
    """A local input's copy in S3: its GDAL name.

    ``fetch`` has keys and sizes in bytes of the files that a worker must fetch, since GDAL cannot read them from S3.
    """

    name: str
    fetch: Mapping[str, int] = field(default_factory=dict)


class RunStore:
    """One run's objects."""

    def __init__(self, bucket: Bucket, run_id: str) -> None:
        self.bucket, self.run_id = bucket, run_id
        self._prefix = f"{RUNS_PREFIX}{run_id}/"

    @property
    def inputs_prefix(self) -> str:
        return f"{self._prefix}inputs"

    # -- what the run is

    def put_description(self, description: dict[str, Any]) -> None:
        """Store what the run is, as JSON."""
        self.bucket.put(f"{self._prefix}run.json", json.dumps(description).encode())

    def description(self) -> dict[str, Any]:
        """Return it.

        Raises
        ------
        JobMgrError : there is no such run, or none any more.
        """
        try:
            found: dict[str, Any] = json.loads(self.bucket.get(f"{self._prefix}run.json"))
        except MissingObjectError:
            raise JobMgrError(
                f"there is no run {self.run_id} in bucket {self.bucket.name}; it was finished, or has expired"
            ) from None
        return found

    def put_job(self, pickled: bytes) -> str:
        """Store the pickled job; return its SHA-256."""
        self.bucket.put(f"{self._prefix}job.pkl", pickled)
        return hashlib.sha256(pickled).hexdigest()

    def job(self, sha256: str) -> bytes:
        """Fetch the pickled job.

        Raises
        ------
        JobMgrError : it is not the one that main submitted; it must not be unpickled.
        """
        pickled = self.bucket.get(f"{self._prefix}job.pkl")
        found = hashlib.sha256(pickled).hexdigest()
        if found != sha256:
            raise JobMgrError(
                f"the job of run {self.run_id} has SHA-256 {found}, main submitted {sha256}; it is not run"
            )
        return pickled

    def put_staged_inputs(self, copies: Mapping[str, InputCopy]) -> None:
        """Say where workers find the inputs that were local files, by the path that the spec says."""
        described = {path: asdict(copy) for path, copy in copies.items()}
        self.bucket.put(f"{self._prefix}inputs.json", json.dumps(described).encode())

    def staged_inputs(self) -> dict[str, InputCopy]:
        """Return it; main stages inputs before it submits workers."""
        described = json.loads(self.bucket.get(f"{self._prefix}inputs.json"))
        return {path: InputCopy(**copy) for path, copy in described.items()}

    # -- attempts

    def put_attempt(self, queue_url: str, job_name: str) -> None:
        """Say what has been started for the run, so that a later attempt can end it."""
        self.bucket.put(
            f"{self._prefix}attempt.json", json.dumps({"queue_url": queue_url, "job_name": job_name}).encode()
        )

    def last_attempt(self) -> tuple[str, str] | None:
        """Return queue URL and job name of the last attempt, if there was one."""
        try:
            found = json.loads(self.bucket.get(f"{self._prefix}attempt.json"))
        except MissingObjectError:
            return None
        return found["queue_url"], found["job_name"]

    # -- tiles

    def has_tile(self, index: int) -> bool:
        """Say whether a tile is finished."""
        return self.bucket.head(self._tile_key(index)) is not None

    def commit_tile(self, index: int, data: bytes) -> bool:
        """Store a finished tile; False if another worker was first."""
        return self.bucket.put_new(self._tile_key(index), data) is not None

    def tiles(self, first: int = 0) -> Iterator[tuple[int, ObjectInfo]]:
        """Yield the finished tiles from number ``first`` on, in order."""
        start_after = self._tile_key(first - 1) if first else ""
        for found in self.bucket.list_objects(f"{self._prefix}tiles/", start_after=start_after):
            yield int(found.key[-_DIGITS:]), found

    def _tile_key(self, index: int) -> str:
        return f"{self._prefix}tiles/{index:0{_DIGITS}d}"

    # -- merged blobs

    def put_merge(self, number: int, blobs: Sequence[Blob]) -> None:
        """Say which blobs a merge is made of."""
        listed = [astuple(blob) for blob in blobs]
        self.bucket.put(f"{self._prefix}merges/{number:0{_DIGITS}d}.json", json.dumps(listed).encode())

    def merge(self, number: int) -> None:
        """Put the blobs of a merge end to end into one object."""
        listed = json.loads(self.bucket.get(f"{self._prefix}merges/{number:0{_DIGITS}d}.json"))
        with ThreadPoolExecutor(_FETCHES) as executor:
            pieces = executor.map(self.bucket.read, (Blob(*fields) for fields in listed))
            data = b"".join(pieces)
        self.bucket.put_new(f"{self._prefix}merged/{number:0{_DIGITS}d}", data)

    def merged(self) -> dict[int, Blob]:
        """Return the merged blobs that are there, by number."""
        return {
            int(found.key[-_DIGITS:]): Blob(self.bucket.name, found.key, found.etag, 0, found.size)
            for found in self.bucket.list_objects(f"{self._prefix}merged/")
        }

    # -- failures

    def put_failure(self, failure: Failure) -> None:
        """Store what went wrong."""
        what = "worker" if failure.tile is None else f"{failure.tile:0{_DIGITS}d}"
        self.bucket.put(f"{self._prefix}failures/{what}-{uuid.uuid4().hex}.json", failure.encode())

    def failures(self, tile: int | None = None) -> list[str]:
        """Return the keys of all failures, or of those of one tile."""
        what = "" if tile is None else f"{tile:0{_DIGITS}d}-"
        return [found.key for found in self.bucket.list_objects(f"{self._prefix}failures/{what}")]

    def failure(self, key: str) -> Failure:
        """Fetch a failure."""
        return Failure.decode(self.bucket.get(key))

    def forget_failures(self) -> None:
        """Remove the failures of an earlier attempt, which are no longer true."""
        self.bucket.delete(self.failures())

    # -- the end

    def delete(self) -> None:
        """Remove everything of the run."""
        self.bucket.delete([found.key for found in self.bucket.list_objects(self._prefix)])


def newest_run(bucket: Bucket, beginning: str) -> str | None:
    """Return the id of the newest run whose id begins so; ids go on with the time of the run's beginning."""
    keys = (found.key for found in bucket.list_objects(f"{RUNS_PREFIX}{beginning}"))
    ids = {match[1] for key in keys if (match := re.fullmatch(rf"{RUNS_PREFIX}([^/]+)/run\.json", key))}
    return max(ids, default=None)
