"""What a report tells of a run: frozen values."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rios_batch.model.tileresult import TileRecord
    from rios_batch.model.tiles import TilePlan


@dataclass(frozen=True)
class FailedTile:
    """A try that failed.

    Attributes
    ----------
    tile : the tile; None where it was no tile.
    worker : who tried.
    message : what went wrong.
    """

    tile: int | None
    worker: str
    message: str


@dataclass(frozen=True)
class RunFacts:
    """What a job manager knows of a run besides its tiles.

    Attributes
    ----------
    run_id : the run's name; empty where runs have none.
    receipt : what the run has used and cost, in words; empty where it costs nothing.
    failures : tries that failed.
    """

    run_id: str = ""
    receipt: str = ""
    failures: tuple[FailedTile, ...] = ()


@dataclass(frozen=True)
class RunReport:
    """A run as far as it is known.

    Attributes
    ----------
    state : how the run is, or how it ended, in words.
    good : it has ended well, or goes on.
    manager : name of the job manager.
    plan : the run's tiles.
    records : those of the finished tiles.
    outputs : names of the outputs.
    facts : what the job manager knows.
    main_seconds : what main measured, by name, in seconds.
    picture : the first output as the bytes of a PNG file; empty if there is none.
    """

    state: str
    good: bool
    manager: str
    plan: TilePlan
    records: tuple[TileRecord, ...]
    outputs: tuple[str, ...]
    facts: RunFacts = field(default_factory=RunFacts)
    main_seconds: Mapping[str, float] = field(default_factory=dict)
    picture: bytes = field(default=b"", repr=False)

    @cached_property
    def began_at(self) -> float:
        """Return when the first tile was begun, in seconds since 1970; 0 if none is finished."""
        return min((record.began_at for record in self.records), default=0.0)

    @cached_property
    def span_s(self) -> float:
        """Return the seconds from the first tile's beginning to the last one's end, more than 0."""
        return max(max((record.ended_at for record in self.records), default=0.0) - self.began_at, 1e-3)

    @cached_property
    def timelines(self) -> dict[str, list[TileRecord]]:
        """Return the tiles of each worker process in the order of their beginning, the processes by name."""
        found: dict[str, list[TileRecord]] = defaultdict(list)
        for record in sorted(self.records, key=lambda one: one.began_at):
            found[record.worker].append(record)
        return dict(sorted(found.items(), key=lambda one: _as_counted(one[0])))


def _as_counted(name: str) -> list[tuple[bool, int, str]]:
    """Return a key that sorts worker 2 before worker 10."""
    parts = "".join(one if one.isdigit() else f" {one} " for one in name).split()
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]
