"""Outputs in S3: a GeoTIFF put together there, or any file that is made here and then uploaded."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from osgeo import gdal

from rios_batch.assemble.assembly import Assembly, incomplete
from rios_batch.assemble.parts import PartStream
from rios_batch.assemble.staging import SIDECARS, StagingFolder, explained
from rios_batch.aws.multipart import SMALLEST_PART_BYTES
from rios_batch.aws.objects import Bucket
from rios_batch.errors import OutputError, S3Error
from rios_batch.model.blobs import StoredBlocks
from rios_batch.model.s3names import S3Name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rios_batch.aws.multipart import MultipartUpload
    from rios_batch.model.geotiff import EncodedBlocks
    from rios_batch.model.grid import PixelGridDefn
    from rios_batch.model.spec import Layout, OutputSpec
    from rios_batch.model.statitems import BandStatistics
    from rios_batch.model.tileresult import TileOutput
    from rios_batch.model.tiles import Tile

log = logging.getLogger("rios_batch")


class _Target:
    """The object that an output becomes. Making one shows that it can be written.

    Raises
    ------
    S3Error : the bucket does not exist or may not be written.
    OutputError : a side file of an older output is there.
    """

    def __init__(self, path: str) -> None:
        self.name = S3Name.parse(path)
        self.bucket = Bucket(self.name.bucket)
        sidecars = {self.name.key + sidecar for sidecar in SIDECARS}
        found = {entry.key for entry in self.bucket.list_objects(f"{self.name.key}.")} & sidecars
        self._had_metadata = self._metadata_key in found
        if others := sorted(found - {self._metadata_key}):
            raise OutputError(
                f"{S3Name(self.name.bucket, others[0])} belongs to an older output {str(self.name)!r} and would be "
                "taken for a part of the new one; delete it first, or give the output another name"
            )
        self.upload: MultipartUpload = self.bucket.multipart(self.name.key)

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

    def __init__(self, target: str) -> None:
        with explained(target):
            self._target = _Target(target)
            self._target.abort()  # S3 takes an upload, that is all there was to find out
            super().__init__(Path(self._target.name.key).name, Path(tempfile.gettempdir()))

    def commit(self) -> None:
        target = self._target
        with explained(str(target.name)):
            target.blank_old_metadata(made.name for made in self.others())
            for made in [*self.others(), self.path]:
                target.bucket.upload(made, target.key_beside(made.name))
        target.forget_old_content()
        self.abort()


class MultipartAssembler:
    """Puts a GeoTIFF together in S3 out of encoded blocks, in memory or in S3; decodes none.

    Header and directories come first in the file and are sent last, when the block index is known: part 1 of the
    upload, with the blocks' first bytes, since S3 wants 5 MiB. A file that is all part 1 is put at once.
    """

    def __init__(
        self, output: OutputSpec, grid: PixelGridDefn, encoded_overviews: tuple[int, ...] = ()
    ) -> None:
        self._output, self._grid, self._encoded_overviews = output, grid, encoded_overviews
        self._assembly: Assembly | None = None
        self._parts: PartStream
        self._sidecars: dict[str, bytes] = {}
        self._whole: bytes | None = None
        with explained(output.path):
            self._target = _Target(output.path)

    @property
    def relayed_bytes(self) -> int:
        """Return how many bytes of blobs were fetched from S3 to be sent there again."""
        return self._parts.relayed_bytes

    def write(self, tile: Tile, output: TileOutput) -> None:
        with explained(self._output.path):
            assembly = self._assembly or self._start(output.layout)
            for blocks in assembly.tile(tile, output):
                self._append(blocks)

    def _append(self, blocks: EncodedBlocks | StoredBlocks) -> None:
        if isinstance(blocks, StoredBlocks):
            self._parts.add(blocks.blob, blocks.blob_store)
        else:
            self._parts.add(blocks.data.data)

    def _start(self, layout: Layout) -> Assembly:
        assembly = self._assembly = Assembly(self._output, self._grid, layout, self._encoded_overviews)
        self._parts = PartStream(
            self._target.upload,
            lead_bytes=max(0, SMALLEST_PART_BYTES - assembly.index.front_bytes),
            most_bytes=assembly.index.raw_bytes,
        )
        return assembly

    def finish(self, statistics: Sequence[BandStatistics] = ()) -> None:
        assembly = self._assembly
        if assembly is None:
            raise incomplete(self._output)
        with explained(self._output.path):
            for blocks in assembly.rest():
                self._append(blocks)
            assembly.index.check(assembly.position)
            self._parts.finish()
            front, self._sidecars = assembly.index.front(statistics)
            first = front + self._parts.lead
            if self._parts.is_all_lead:
                self._whole = first
            else:
                self._target.upload.put_part(1, first)

    def commit(self) -> None:
        target = self._target
        with explained(self._output.path):
            target.blank_old_metadata(self._sidecars)
            for name, content in self._sidecars.items():
                target.bucket.put(target.key_beside(name), content)
            if self._whole is None:
                target.upload.complete()
            else:
                target.bucket.put(target.name.key, self._whole)
        target.forget_old_content()

    def abort(self) -> None:
        if self._assembly is not None:
            self._parts.abort()
        self._target.abort()
