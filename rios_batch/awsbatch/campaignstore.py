"""What a campaign leaves in the exchange bucket: what each attempt is to do, and what became of each scene.

Everything lies under the prefix of runs, where workers may write only what they make of tiles. What a scene's
main obeys is covered by a SHA-256 that comes with the job.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rios_batch.awsbatch.decoding import RecordError
from rios_batch.awsbatch.scenelist import Scene
from rios_batch.contract import CAMPAIGN_MARK, RUNS_PREFIX
from rios_batch.errors import JobMgrError, MissingObjectError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rios_batch.aws.objects import Bucket

_FETCHES = 16


@dataclass(frozen=True)
class Attempt:
    """One submission of a campaign.

    Attributes
    ----------
    number : from 1.
    command : what a person types to go on with the campaign.
    script : name of the script's file.
    location, sha256 : the script in the exchange bucket (`rios_batch.aws.scripts.SentScript`).
    scenes : all scenes of the list.
    to_do : places in ``scenes`` of those that this attempt does, one for each main of the array job.
    """

    number: int
    command: tuple[str, ...]
    script: str
    location: str
    sha256: str
    scenes: tuple[Scene, ...]
    to_do: tuple[int, ...]

    def encode(self) -> bytes:
        """Return the attempt as lines of JSON: all but the scenes, then a scene in each line."""
        head = {name: value for name, value in vars(self).items() if name != "scenes"}
        lines = [head, *([scene.line, scene.arguments] for scene in self.scenes)]
        return "\n".join(map(json.dumps, lines)).encode()

    @classmethod
    def decode(cls, data: bytes, only: int | None = None) -> Attempt:
        """Read what `encode` has written.

        Parameters
        ----------
        only : place in ``to_do`` of the one scene that is wanted: a main need not read those of ten thousand others.
        """
        text, *lines = data.split(b"\n")
        head = json.loads(text)
        if only is not None:
            lines, head["to_do"] = [lines[head["to_do"][only]]], [0]
        scenes = tuple(Scene(line, tuple(arguments)) for line, arguments in map(json.loads, lines))
        head |= {name: tuple(head[name]) for name in ("command", "to_do")}
        return cls(**head, scenes=scenes)


class CampaignStore:
    """The objects of one campaign."""

    def __init__(self, bucket: Bucket, campaign_id: str) -> None:
        self.bucket, self.campaign_id = bucket, campaign_id
        self._prefix = f"{RUNS_PREFIX}{campaign_id}/"

    def put_attempt(self, attempt: Attempt) -> tuple[str, str]:
        """Store an attempt; return its name as ``s3://bucket/key``, and its SHA-256."""
        key, data = f"{self._prefix}attempts/{attempt.number:04d}", attempt.encode()
        self.bucket.put(key, data)
        return f"s3://{self.bucket.name}/{key}", hashlib.sha256(data).hexdigest()

    def newest_attempt(self) -> Attempt:
        """Return the attempt that was submitted last.

        Raises
        ------
        JobMgrError : there is no such campaign, or none any more.
        RecordError : somebody has changed the attempt.
        """
        keys = [found.key for found in self.bucket.list_objects(f"{self._prefix}attempts/")]
        if not keys:
            raise JobMgrError(
                f"there is no campaign {self.campaign_id} in bucket {self.bucket.name}, or none any more"
            )
        try:
            return Attempt.decode(self.bucket.get(max(keys)))
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
            raise RecordError(
                f"{max(keys)} cannot be read as a campaign's list of scenes: {error!r}"
            ) from error

    def put_done(self, scene: Scene) -> None:
        """Say that a scene is done."""
        self.bucket.put(f"{self._prefix}done/{scene.key}", b"")

    def done(self) -> frozenset[str]:
        """Return the keys of the scenes that are done."""
        return frozenset(_name(found.key) for found in self.bucket.list_objects(f"{self._prefix}done/"))

    def put_failed(self, attempt: Attempt, scene: Scene, reason: str) -> None:
        """Say why a scene has failed."""
        self.bucket.put(f"{self._failed(attempt)}{scene.key}", reason.encode())

    def failed(self, attempt: Attempt, known: Mapping[str, str]) -> dict[str, str]:
        """Return why scenes have failed in an attempt, by the scenes' keys.

        Parameters
        ----------
        known : what was returned before; it is not fetched again.
        """
        keys = [found.key for found in self.bucket.list_objects(self._failed(attempt))]
        new = [key for key in keys if _name(key) not in known]
        with ThreadPoolExecutor(_FETCHES) as executor:
            reasons = list(executor.map(self.bucket.get, new))
        fetched = (
            (_name(key), reason.decode(errors="replace")) for key, reason in zip(new, reasons, strict=True)
        )
        return {**known, **dict(fetched)}

    def _failed(self, attempt: Attempt) -> str:
        return f"{self._prefix}failed/{attempt.number:04d}/"


def fetch_attempt(bucket: Bucket, key: str, sha256: str, only: int) -> Attempt:
    """Fetch the attempt that a main belongs to, with the one scene that the main does.

    Parameters
    ----------
    only : the main's place in the array job.

    Raises
    ------
    JobMgrError : the attempt is not there any more, or is not what was submitted.
    """
    try:
        data = bucket.get(key)
    except MissingObjectError as error:
        raise JobMgrError(f"the campaign is no longer there ({error}); submit it again") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise JobMgrError(f"{key} is not what was submitted; somebody has changed it, and it is not used")
    return Attempt.decode(data, only)


def new_campaign_id(list_name: str, script: str, template: Sequence[str]) -> str:
    """Return an id that no other campaign has; those of the same command begin alike."""
    return f"{_beginning(list_name, script, template)}{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"


def newest_campaign(bucket: Bucket, list_name: str, script: str, template: Sequence[str]) -> str | None:
    """Return the newest campaign of a command; None if there is none."""
    beginning = _beginning(list_name, script, template)
    found = bucket.list_objects(f"{RUNS_PREFIX}{beginning}")
    ids = {
        key.removeprefix(RUNS_PREFIX).partition("/")[0]
        for key in (info.key for info in found)
        if "/attempts/" in key
    }
    return max(ids, default=None)


def _beginning(list_name: str, script: str, template: Sequence[str]) -> str:
    same = json.dumps([list_name, script, list(template)]).encode()
    return f"{CAMPAIGN_MARK}{hashlib.sha256(same).hexdigest()[:10]}-"


def _name(key: str) -> str:
    return key.rpartition("/")[2]
