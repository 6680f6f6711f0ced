"""Open datasets of inputs, no more of them than the process may have open files."""

from __future__ import annotations

import resource
import weakref
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

T = TypeVar("T")
R = TypeVar("R")

OPENED_AT_ONCE = 32  # over the network, where opening is waiting
_MOST = 4096  # where the system sets no limit, or a high one
_OTHERS = 128  # connections, outputs, sources of VRTs, and what else a process has open
_FEWEST = 4


@dataclass
class _Entry(Generic[T]):
    """An open dataset, and the block it was used for last."""

    dataset: T
    used: int


class OpenDatasets(Generic[T]):
    """Keeps datasets open for the next block. Not for use by two threads at once.

    All that a process has of these share the process's limit of open files (``ulimit -n``). Blocks mostly want the same
    datasets in the same order. So what is full keeps what it has, as long as that was used in this block or the last
    one: to give up the least recently used would mean to open every dataset again for every block.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[Hashable, _Entry[T]] = OrderedDict()
        self._block = 0
        _living.add(self)

    def next_block(self) -> None:
        """Take note that another block begins."""
        self._block += 1

    def __contains__(self, key: Hashable) -> bool:
        return key in self._entries

    def get(self, key: Hashable, opened: Callable[[], T]) -> T:
        """Return a dataset, opened if it is not open."""
        entry = self._entries.get(key)
        if entry is None:
            has_room = self._make_room()  # before there is one more
            entry = _Entry(opened(), self._block)
            if not has_room:
                return entry.dataset
            self._entries[key] = entry
        entry.used = self._block
        self._entries.move_to_end(key)
        return entry.dataset

    @property
    def room(self) -> int:
        """How many datasets can be kept beside those that are open."""
        return max(_FEWEST, most_open_datasets() // len(_living)) - len(self._entries)

    def _make_room(self) -> bool:
        while self.room <= 0:
            key, oldest = next(iter(self._entries.items()))
            if oldest.used >= self._block - 1:
                return False
            del self._entries[key]
        return True

    def clear(self) -> None:
        """Close all."""
        self._entries.clear()


_living: weakref.WeakSet[OpenDatasets[Any]] = weakref.WeakSet()


def most_open_datasets() -> int:
    """Return how many datasets this process may have open; nearly all have one open file each."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _MOST if soft == resource.RLIM_INFINITY else min(_MOST, soft - _OTHERS)


def map_concurrently(function: Callable[[str], R], names: Iterable[str]) -> list[R]:
    """Return what a function that waits for the network returns for each name, several at a time.

    The first call is made alone: it gets the credentials that all need.
    """
    first, *others = names
    result = [function(first)]
    with ThreadPoolExecutor(OPENED_AT_ONCE, thread_name_prefix="rios_batch opening") as pool:
        return result + list(pool.map(function, others))
