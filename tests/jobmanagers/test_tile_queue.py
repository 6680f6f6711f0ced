from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rios_batch.errors import JobMgrError
from rios_batch.jobmanagers import JobManager, getAvailableJobManagerTypes, getJobManagerClassByType
from rios_batch.jobmanagers.tilequeue import AHEAD_PER_WORKER, MAX_AHEAD_BYTES, TileQueue
from rios_batch.model.tiles import BlockGrid, Tile, TilePlan

if TYPE_CHECKING:
    from rios_batch.jobmanagers import Run
    from rios_batch.model.spec import RunSpec


def queue_of(ntiles: int, max_ahead: int) -> TileQueue:
    queue = TileQueue(TilePlan(BlockGrid(ntiles, 1, 1, 1), 1, 1), num_workers=1)
    queue._max_ahead = max_ahead
    return queue


def take_all(queue: TileQueue) -> list[Tile]:
    return list(iter(queue.take, None))


def test_tiles_are_handed_out_in_order() -> None:
    assert [tile.index for tile in take_all(queue_of(5, 100))] == [0, 1, 2, 3, 4]


def test_no_tile_is_handed_out_far_ahead_of_the_first_unfinished_one() -> None:
    queue = queue_of(10, max_ahead=3)
    assert [tile.index for tile in take_all(queue)] == [0, 1, 2]

    queue.finish(1, 10)
    queue.finish(2, 10)
    assert queue.take() is None

    queue.finish(0, 10)
    assert [tile.index for tile in take_all(queue)] == [3, 4, 5]


def test_large_results_let_fewer_tiles_wait_but_keep_every_worker_busy() -> None:
    queue = TileQueue(TilePlan(BlockGrid(100, 1, 1, 1), 1, 1), num_workers=3)
    assert len(take_all(queue)) == 3 * AHEAD_PER_WORKER

    queue.finish(0, MAX_AHEAD_BYTES // 5)
    queue.finish(1, MAX_AHEAD_BYTES // 2)
    assert queue.take() is None
    for index in range(2, 3 * AHEAD_PER_WORKER):
        queue.finish(index, 10)

    assert len(take_all(queue)) == 3


def test_a_tile_that_was_given_back_is_taken_next() -> None:
    queue = queue_of(5, max_ahead=5)
    first, second = queue.take(), queue.take()
    assert first is not None
    assert second is not None

    queue.give_back(first)

    assert queue.take() == first
    assert [tile.index for tile in take_all(queue)] == [2, 3, 4]


def test_a_given_back_tile_is_taken_even_when_the_queue_is_as_far_ahead_as_it_may_be() -> None:
    queue = queue_of(5, max_ahead=2)
    tiles = take_all(queue)

    queue.give_back(tiles[0])

    assert queue.take() == tiles[0]
    assert queue.take() is None


@given(st.integers(1, 30), st.integers(1, 6), st.integers(1, 8), st.data())
def test_whatever_workers_do_every_tile_is_done_and_few_wait_in_memory(
    ntiles: int, max_ahead: int, nworkers: int, data: st.DataObject
) -> None:
    queue = queue_of(ntiles, max_ahead)
    running: list[Tile] = []
    finished: list[int] = []
    deaths = 0
    while not queue.all_finished:
        while len(running) < nworkers and (tile := queue.take()):
            running.append(tile)
        assert running, "nothing runs and nothing can be taken: the run would wait for ever"
        tile = running.pop(data.draw(st.integers(0, len(running) - 1)))
        if deaths < 5 and data.draw(st.booleans()):
            deaths += 1
            queue.give_back(tile)
            continue
        queue.finish(tile.index, 10)
        finished.append(tile.index)
        first_unfinished = next(i for i in range(ntiles + 1) if i not in finished)
        assert sum(index > first_unfinished for index in finished) < max_ahead

    assert sorted(finished) == list(range(ntiles))
    assert queue.take() is None
    assert running == []


def test_the_managers_that_need_nothing_else_are_registered() -> None:
    assert {"in-process", "threads", "multiprocessing"} <= set(getAvailableJobManagerTypes())


def test_a_scripts_own_manager_is_found_by_name_as_soon_as_it_is_defined() -> None:
    class Mine(JobManager):
        jobMgrType = "mine"  # noqa: N815 - RIOS's name

        def start(self, spec: RunSpec, other_args: Any) -> Run:
            raise NotImplementedError

    class MineToo(Mine):
        jobMgrType = "mine too"  # noqa: N815 - RIOS's name

    class Nameless(Mine):
        """A base class for others; it inherits a name but does not take it over."""

    assert getJobManagerClassByType("mine") is Mine
    assert getJobManagerClassByType("mine too") is MineToo
    assert Nameless(2).numThreads == 2


def test_an_unknown_manager_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        JobMgrError, match=r"'zzz' is not known; there are .*'in-process'.*'multiprocessing'.*'threads'"
    ):
        getJobManagerClassByType("zzz")


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("subproc", "'multiprocessing'"),
        ("mpi", "'multiprocessing' on one machine, or 'dask' on several"),
        ("pbs", "'dask' with dask-jobqueue's PBSCluster"),
        ("slurm", "'dask' with dask-jobqueue's SLURMCluster"),
    ],
)
def test_a_manager_that_only_rios_has_is_refused_with_what_to_use(name: str, instead: str) -> None:
    with pytest.raises(JobMgrError, match=f"'{name}' is not known; .*; use {instead}"):
        getJobManagerClassByType(name)


def test_a_manager_without_start_cannot_be_made() -> None:
    class Half(JobManager):
        pass

    with pytest.raises(TypeError, match="start"):
        Half(1)  # type: ignore[abstract]
