"""Outputs in S3: a file put together there, or any file that is made here and then uploaded."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from osgeo import gdal

from rios_batch.assemble.parts import PartStream
from rios_batch.assemble.staging import SIDE_FILE_SUFFIXES, StagingFolder, side_file_name
from rios_batch.aws.multipart import SMALLEST_PART_BYTES
from rios_batch.aws.objects import Bucket
from rios_batch.errors import OutputError, S3Error
from rios_batch.gdalapi import output_errors_named
from rios_batch.model.blobs import StoredBlocks
from rios_batch.model.s3names import S3Name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rios_batch.aws.multipart import MultipartUpload
    from rios_batch.jobmanagers.watchdog import Watchdog
    from rios_batch.model.encodedblocks import EncodedBlocks

log = logging.getLogger("rios_batch")


class S3Target:
    """The object that an output becomes. Making one shows that it can be written.

    Raises
    ------
    OutputError : the bucket does not exist or may not be written, or a side file of an older output is there.
    """

    def __init__(self, path: str) -> None:
        self.name = S3Name.parse(path)
        with output_errors_named(path):
            self.bucket = Bucket(self.name.bucket)
            self._had_metadata = self._has_old_metadata()
            self.upload: MultipartUpload = self.bucket.multipart(self.name.key)

    def _has_old_metadata(self) -> bool:
        """Look for side files of an older output: say whether there is an .aux.xml, and refuse any other."""
        side_files = {self.name.key + suffix for suffix in SIDE_FILE_SUFFIXES}
        found = {entry.key for entry in self.bucket.list_objects(f"{self.name.key}.")} & side_files
        if others := sorted(found - {self._metadata_key}):
            raise OutputError(
                f"{S3Name(self.name.bucket, others[0])} belongs to an older output {self.path!r} and would be "
                "taken for a part of the new one; delete it first, or give the output another name"
            )
        return self._metadata_key in found

    @property
    def path(self) -> str:
        """Return the output's path, as the script gave it."""
        return str(self.name)

    @property
    def file_name(self) -> str:
        """Return what stands in the object's name behind the last slash."""
        return self.name.key.rpartition("/")[2]

    def key_beside(self, name: str) -> str:
        """Return the key of a file next to the object."""
        folder, slash, _ = self.name.key.rpartition("/")
        return f"{folder}{slash}{name}"

    @property
    def _metadata_key(self) -> str:
        return f"{self.name.key}.aux.xml"

    def blank_old_metadata(self, made: Iterable[str]) -> None:
        """Have an older .aux.xml say nothing of the new object, unless one of the ``made`` side files replaces it.

        Nothing is deleted: the stack's roles may not delete people's outputs.
        """
        if self._had_metadata and self._metadata_key not in map(self.key_beside, made):
            self.bucket.put(self._metadata_key, b"<PAMDataset />")

    def forget_old_content(self) -> None:
        """Have GDAL, which keeps parts of what it read, read the object anew."""
        gdal.VSICurlPartialClearCache(self.name.gdal_name.rpartition("/")[0] + "/")

    def abort(self) -> None:
        """Remove what was uploaded and is not visible yet."""
        try:
            self.upload.abort()
        except S3Error as error:  # another error may be on its way, and is the one to tell
            log.warning("parts of %s are left in an unfinished upload: %s", self.name, error)


class StagedObject(StagingFolder):
    """A file that is made in a local temporary folder and uploaded when it is complete.

    Raises
    ------
    OutputError : the bucket cannot be written.
    """

    def __init__(self, path: str) -> None:
        self._target = S3Target(path)
        self._target.abort()  # S3 takes an upload, that is all there was to find out
        with output_errors_named(path):
            super().__init__(self._target.file_name, Path(tempfile.gettempdir()))

    def commit(self) -> None:
        target = self._target
        with output_errors_named(target.path):
            target.blank_old_metadata(made.name for made in self.side_files())
            for made in [*self.side_files(), self.path]:
                target.bucket.upload(made, target.key_beside(made.name))
        target.forget_old_content()
        self.abort()


class S3Sink:
    """Puts a file together in S3 as one multipart upload; a ``ByteSink``.

    The front is sent last: part 1 of the upload, with the first appended bytes, since S3 wants 5 MiB. A file that is
    all part 1 is put at once.

    Parameters
    ----------
    front_bytes : how many bytes at the beginning are left for ``finish``.
    most_bytes : what may be appended at most, before encoding.
    nblocks : how many blocks that is; 0 if nobody knows.
    watchdog : counts the waiting for S3; None for one without a limit.
    """

    def __init__(
        self,
        target: S3Target,
        front_bytes: int,
        most_bytes: int,
        nblocks: int = 0,
        watchdog: Watchdog | None = None,
    ) -> None:
        self._target = target
        self._bytes_per_block = most_bytes / nblocks if nblocks else 0.0
        self._parts = PartStream(
            target.upload,
            lead_bytes=max(0, SMALLEST_PART_BYTES - front_bytes),
            most_bytes=most_bytes,
            watchdog=watchdog,
        )
        self._side_files: Mapping[str, bytes] = {}
        self._whole: bytes | None = None

    def append(self, blocks: EncodedBlocks | StoredBlocks) -> None:
        raw_bytes = int(self._bytes_per_block * len(blocks.byte_counts))
        with output_errors_named(self._target.path):
            if isinstance(blocks, StoredBlocks):
                self._parts.add_blob(blocks.blob, blocks.blob_store, raw_bytes)
            else:
                self._parts.add(blocks.data.data, raw_bytes)

    def finish(self, front: bytes, side_files: Mapping[str, bytes]) -> None:
        with output_errors_named(self._target.path):
            self._parts.finish()
            name = self._target.file_name
            self._side_files = {side_file_name(name, suffix): data for suffix, data in side_files.items()}
            first = front + self._parts.lead if self._parts.lead else front
            if self._parts.is_all_lead:
                self._whole = first
            else:
                self._target.upload.put_part(1, first)

    def commit(self) -> None:
        target = self._target
        with output_errors_named(target.path):
            target.blank_old_metadata(self._side_files)
            for name, content in self._side_files.items():
                target.bucket.put(target.key_beside(name), content)
            if self._whole is None:
                target.upload.complete()
            else:
                target.bucket.put(target.name.key, self._whole)
        target.forget_old_content()

    def abort(self) -> None:
        self._parts.abort()
        self._target.abort()
