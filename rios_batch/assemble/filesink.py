"""A file put together on the local disk, of bytes that come in order."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, BinaryIO

from osgeo import gdal

from rios_batch.assemble.beforeclose import call_before_close
from rios_batch.assemble.staging import side_file_name
from rios_batch.gdalapi import closing, output_errors_named
from rios_batch.model.blobs import StoredBlocks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rios_batch.assemble.beforeclose import BeforeClose
    from rios_batch.assemble.staging import StagingFolder
    from rios_batch.model.encodedblocks import EncodedBlocks


class FileSink:
    """Writes one file in a staging folder; a ``ByteSink``.

    Parameters
    ----------
    output_path : the output as messages name it.
    front_bytes : how many bytes at the beginning are left for ``finish``.
    before_close : called with the finished dataset, which it may change, before it is in its place.

    Raises
    ------
    OutputError : the file cannot be created.
    """

    def __init__(
        self,
        staged: StagingFolder,
        output_path: str,
        front_bytes: int,
        before_close: BeforeClose | None = None,
    ) -> None:
        self._staged, self._output_path, self._before_close = staged, output_path, before_close
        with output_errors_named(output_path):
            self._file = staged.path.open("wb")
            self._file.seek(front_bytes)

    def append(self, blocks: EncodedBlocks | StoredBlocks) -> None:
        with output_errors_named(self._output_path):
            start = self._file.tell()
            self._file.write(_content(blocks))
            _start_writing_back(self._file, start, blocks.nbytes)

    def finish(self, front: bytes, side_files: Mapping[str, bytes]) -> None:
        with output_errors_named(self._output_path):
            self._file.seek(0)
            self._file.write(front)
            for suffix, content in side_files.items():
                path = self._staged.path
                path.with_name(side_file_name(path.name, suffix)).write_bytes(content)
            self._file.close()
        if self._before_close is not None:
            self._let_script_change(self._before_close)

    def _let_script_change(self, before_close: BeforeClose) -> None:
        dataset = gdal.Open(str(self._staged.path), gdal.GA_Update)
        call_before_close(before_close, dataset)
        with output_errors_named(self._output_path):
            dataset.FlushCache()
            with closing():
                del dataset

    def commit(self) -> None:
        self._staged.commit()

    def abort(self) -> None:
        # On a full disk close() tries once more to write what did not fit; the cause is already on its way.
        with contextlib.suppress(OSError):
            self._file.close()
        self._staged.abort()


def _content(blocks: EncodedBlocks | StoredBlocks) -> bytes | memoryview:
    return blocks.blob_store.read(blocks.blob) if isinstance(blocks, StoredBlocks) else blocks.data.data


def _start_writing_back(file: BinaryIO, offset: int, length: int) -> None:
    """Have the kernel begin to write what it was given, so that an fsync at the end finds little left to do.

    On Linux that is what the advice does with pages that are still to be written; it keeps them in its cache.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), offset, length, os.POSIX_FADV_DONTNEED)
