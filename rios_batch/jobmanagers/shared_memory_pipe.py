"""Sending arrays between main and a worker process without copying them through the pipe.

A pipe takes 64 KiB at a time, and what goes through it is pickled: for 3 MB of a tile that cost four times
the processor time of a file in memory, a tenth of a light run. So the arrays are put into such a file, its
descriptor goes through the socket that joins the two processes, and the other side maps it.
"""

from __future__ import annotations

import mmap
import os
import pickle
import sys
import tempfile
from multiprocessing.reduction import recv_handle, send_handle
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


class Parcel:
    """A value that is packed once and sent to any number of processes; as a context manager it is closed at the end.

    Parameters
    ----------
    smallest_file : what has fewer bytes than this travels through the pipe.

    Raises
    ------
    OSError : there is no memory for the arrays, or a limit forbids it.
    """

    def __init__(self, value: object, smallest_file: int = 1) -> None:
        buffers: list[pickle.PickleBuffer] = []
        pickled = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        views = [buffer.raw() for buffer in buffers]
        nbytes = sum(view.nbytes for view in views)
        self._descriptor: int | None = None
        if 0 < nbytes < smallest_file:
            pickled, views = pickle.dumps(value, protocol=5), []
        self._header = (pickled, [view.nbytes for view in views])
        if any(view.nbytes for view in views):
            self._descriptor = _memory_file()
            try:
                for view in views:
                    _write_all(self._descriptor, view)
            except BaseException:
                self.close()
                raise

    def send(self, connection: Connection) -> None:
        """Send the value.

        Raises
        ------
        ConnectionError : the other side is gone.
        """
        connection.send(self._header)
        if self._descriptor is not None:
            send_handle(connection, self._descriptor, None)  # no process id on Unix

    def close(self) -> None:
        """Let go of the memory; who has received the value has it still."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def send(connection: Connection, value: object) -> None:
    """Send a value; its arrays travel in memory.

    Raises
    ------
    ConnectionError : the other side is gone.
    OSError : there is no memory for the arrays, or a limit forbids it; nothing was sent.
    """
    with Parcel(value) as parcel:
        parcel.send(connection)


def receive(connection: Connection) -> Any:
    """Return the next value; its arrays are read-only and hold the memory they came in.

    Raises
    ------
    EOFError, OSError : the other side is gone.
    """
    pickled, sizes = connection.recv()
    if not any(sizes):
        return pickle.loads(pickled, buffers=[b""] * len(sizes))  # noqa: S301 - our own child's, or our own main's  # nosec B301
    descriptor = recv_handle(connection)
    try:
        memory = memoryview(_map(descriptor, sum(sizes)))
    finally:
        os.close(descriptor)
    buffers, start = [], 0
    for size in sizes:
        buffers.append(memory[start : start + size])
        start += size
    return pickle.loads(pickled, buffers=buffers)  # noqa: S301 - our own child's, or our own main's  # nosec B301


def _map(descriptor: int, size: int) -> mmap.mmap:
    if sys.version_info >= (3, 13):  # before, a mapping keeps a descriptor of its own while it lives
        return mmap.mmap(descriptor, size, access=mmap.ACCESS_READ, trackfd=False)
    return mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)


def _memory_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("rios_batch")
    with tempfile.TemporaryFile() as file:  # macOS
        return os.dup(file.fileno())


def _write_all(descriptor: int, view: memoryview) -> None:
    while view.nbytes:  # write may write less than all
        view = view[os.write(descriptor, view) :]
