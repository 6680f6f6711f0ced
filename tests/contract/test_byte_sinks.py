"""What every sink of an output's bytes does; another one takes part by a row in the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rios_batch.assemble.filesink import FileSink
from rios_batch.assemble.s3sink import S3Sink, S3Target
from rios_batch.assemble.staging import StagedFile
from rios_batch.aws.multipart import MIB
from rios_batch.errors import OutputError
from rios_batch.gdalapi import gdal_exceptions
from rios_batch.model.blobs import StoredBlocks
from rios_batch.model.geotiff import EncodedBlocks
from tests.blob_store import BucketBlobStore
from tests.s3server import DENIED, ON_LOOPBACK, unfinished_uploads
from tests.support import files_below

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rios_batch.aws.objects import Bucket
    from rios_batch.model.protocols import ByteSink
    from tests.s3server import S3Server

pytestmark = ON_LOOPBACK

FRONT = b"a front of 21 bytes.."
MOST_BYTES = 64 * MIB


@dataclass(frozen=True)
class OnDisk:
    """The sink of a local file, and what else is in its folder."""

    folder: Path

    @property
    def path(self) -> str:
        return str(self.folder / "out.bin")

    def open(self) -> ByteSink:
        return FileSink(StagedFile(self.path), self.path, len(FRONT))

    def put(self, name: str, data: bytes) -> None:
        (self.folder / name).write_bytes(data)

    def contents(self) -> dict[str, bytes]:
        files = ((name, self.folder / name) for name in files_below(self.folder))
        return {name: file.read_bytes() for name, file in files if file.is_file()}

    def unfinished(self) -> list[str]:
        return [name for name in files_below(self.folder) if name.startswith(".")]

    def refuse_commit(self) -> None:
        (self.folder / "out.bin").mkdir()
        (self.folder / "out.bin" / "of another").write_bytes(b"")


@dataclass(frozen=True)
class InS3:
    """The sink of an object, and what else is in its folder."""

    bucket: Bucket
    server: S3Server

    @property
    def path(self) -> str:
        return f"s3://{self.bucket.name}/folder/out.bin"

    def open(self) -> ByteSink:
        return S3Sink(S3Target(self.path), len(FRONT), MOST_BYTES)

    def put(self, name: str, data: bytes) -> None:
        self.bucket.put(f"folder/{name}", data)

    def contents(self) -> dict[str, bytes]:
        entries = self.bucket.list_objects("folder/")
        return {entry.key.removeprefix("folder/"): self.bucket.get(entry.key) for entry in entries}

    def unfinished(self) -> list[str]:
        return unfinished_uploads(self.bucket)

    def refuse_commit(self) -> None:
        self.server.answers[:] = [("403 Forbidden", DENIED)]


Place = OnDisk | InS3


@pytest.fixture(params=["on disk", "in S3"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, bucket: Bucket, s3_server: S3Server
) -> Iterator[Place]:
    folder = tmp_path / "outputs"
    folder.mkdir()
    with gdal_exceptions():
        yield OnDisk(folder) if request.param == "on disk" else InS3(bucket, s3_server)


def blocks_of(data: bytes) -> EncodedBlocks:
    return EncodedBlocks(np.frombuffer(data, np.uint8), np.array([len(data)], np.uint64))


def stored(blob_store: BucketBlobStore, data: bytes) -> StoredBlocks:
    blob = blob_store.put(b"before" + data + b"after", start=6, size=len(data))
    return StoredBlocks(blob, np.array([len(data)], np.uint64), blob_store)


def noise(nbytes: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(nbytes)


# One put, or one part, or several; with a rest at the end that is too small for a part of its own.
SIZES = {
    "nothing": [],
    "an empty block": [0],
    "small": [10, 1, 300],
    "part 1 is full": [5 * MIB - len(FRONT)],
    "one byte more": [5 * MIB - len(FRONT), 1],
    "several parts": [3 * MIB] * 6 + [7],
    "large blocks": [9 * MIB, 9 * MIB, 7],
}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("kept", ["in memory", "stored", "mixed"])
def test_blocks_stand_in_their_order_behind_the_front(
    place: Place, bucket: Bucket, sizes: list[int], kept: str
) -> None:
    blob_store = BucketBlobStore(bucket)
    pieces = [noise(size, seed) for seed, size in enumerate(sizes)]
    sink = place.open()

    for number, data in enumerate(pieces):
        in_memory = kept == "in memory" or (kept == "mixed" and number % 2)
        sink.append(blocks_of(data) if in_memory else stored(blob_store, data))
    sink.finish(FRONT, {})
    sink.commit()
    sink.abort()

    assert place.contents() == {"out.bin": FRONT + b"".join(pieces)}
    assert place.unfinished() == []


@pytest.mark.parametrize("nbytes", [100, 12 * MIB], ids=["one put", "several parts"])
def test_what_was_there_stays_until_commit_replaces_it(place: Place, nbytes: int) -> None:
    place.put("out.bin", b"old")
    sink = place.open()
    sink.append(blocks_of(noise(nbytes)))
    sink.finish(FRONT, {"out.tfw": b"new"})
    seen = {name: data for name, data in place.contents().items() if not name.startswith(".")}
    assert seen == {"out.bin": b"old"}

    sink.commit()

    assert place.contents() == {"out.bin": FRONT + noise(nbytes), "out.tfw": b"new"}


@pytest.mark.parametrize("nbytes", [100, 12 * MIB], ids=["one put", "several parts"])
@pytest.mark.parametrize("stage", ["opened", "appended", "finished"])
def test_abort_at_any_stage_leaves_only_what_was_there(place: Place, stage: str, nbytes: int) -> None:
    place.put("out.bin", b"old")
    sink = place.open()
    if stage != "opened":
        sink.append(blocks_of(noise(nbytes)))
    if stage == "finished":
        sink.finish(FRONT, {"out.tfw": b"new"})

    sink.abort()
    sink.abort()

    assert place.contents() == {"out.bin": b"old"}
    assert place.unfinished() == []


def test_side_files_arrive_beside_the_file_in_place_of_older_ones(place: Place) -> None:
    place.put("out.bin.aux.xml", b"old")
    sink = place.open()
    sink.append(blocks_of(b"data"))
    sink.finish(FRONT, {"out.bin.aux.xml": b"new", "out.tfw": b"world"})

    sink.commit()

    assert place.contents() == {"out.bin": FRONT + b"data", "out.bin.aux.xml": b"new", "out.tfw": b"world"}


def test_older_metadata_says_nothing_of_the_new_file(place: Place) -> None:
    place.put("out.bin.aux.xml", b"<PAMDataset><Metadata><MDI key='old'>yes</MDI></Metadata></PAMDataset>")
    place.put("out.bin.txt", b"another's")
    sink = place.open()
    sink.append(blocks_of(b"data"))
    sink.finish(FRONT, {})

    sink.commit()

    left = place.contents()
    assert b"old" not in left.pop("out.bin.aux.xml", b"")
    assert left == {"out.bin": FRONT + b"data", "out.bin.txt": b"another's"}


@pytest.mark.parametrize("nbytes", [100, 12 * MIB], ids=["one put", "several parts"])
def test_a_stored_block_that_was_replaced_is_an_error_that_names_the_output(
    place: Place, bucket: Bucket, nbytes: int
) -> None:
    blob_store = BucketBlobStore(bucket)
    sink = place.open()
    blocks = stored(blob_store, noise(nbytes))
    bucket.put(blocks.blob.key, b"another")

    with pytest.raises(OutputError, match=r"output '.*out\.bin' cannot be written: .*no longer what it was"):
        sink.append(blocks)
    sink.abort()

    assert place.contents() == {}
    assert place.unfinished() == []


def test_a_commit_that_is_refused_is_an_error_that_names_the_output(place: Place) -> None:
    sink = place.open()
    sink.append(blocks_of(b"data"))
    sink.finish(FRONT, {})
    place.refuse_commit()

    with pytest.raises(OutputError, match=r"output '.*out\.bin' cannot be written: "):
        sink.commit()
    sink.abort()

    assert place.unfinished() == []
    assert FRONT + b"data" not in place.contents().values()
