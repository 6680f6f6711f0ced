"""Objects in S3 and the bucket that holds them."""

from __future__ import annotations

import contextlib
import itertools
import time
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import (
    ClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from rios_batch.aws.clients import TIMES_OF_CONTENTS, make_client
from rios_batch.aws.faults import Subject, error_code, explained
from rios_batch.aws.multipart import MIB, MultipartUpload
from rios_batch.errors import DamagedObjectError, MissingObjectError, RiosBatchError, S3Error
from rios_batch.model.s3names import S3Name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import DeleteObjectsOutputTypeDef

    from rios_batch.model.blobs import Blob

_KEYS_PER_DELETION = 1000
_CONFLICT_TRIES = 10
_BODY_TRIES = 5
_UPLOAD_PART_BYTES = 16 * MIB


@dataclass(frozen=True)
class ObjectInfo:
    """An object; ``metadata`` is filled by `Bucket.head` only.

    ``modified_s`` is when the object was stored, in seconds since 1970 on S3's clock.
    """

    key: str
    size: int
    etag: str
    modified_s: float = 0.0
    metadata: Mapping[str, str] = field(default_factory=dict)


class Bucket:
    """One bucket. Threads may share it.

    Every method raises S3Error, with a sentence on what to do, where S3 refuses or cannot be reached.
    """

    def __init__(self, name: str, client: S3Client | None = None) -> None:
        self.name = name
        self.client: S3Client = client or make_client("s3")

    def check(self) -> None:
        """See that the bucket exists and may be listed."""
        with explained(Subject.of_s3(self.name)):
            self.client.head_bucket(Bucket=self.name)

    def put(self, key: str, data: bytes | memoryview) -> str:
        """Store an object in place of an older one; return the new object's ETag."""
        with explained(Subject.of_s3(self.name, key)):
            return self.client.put_object(Bucket=self.name, Key=key, Body=bytes(data))["ETag"]

    def put_new(self, key: str, data: bytes | memoryview) -> str | None:
        """Store an object if there is none of that key; return the object's ETag, or None if there was one."""
        with explained(Subject.of_s3(self.name, key)):
            for tries in itertools.count(1):
                try:
                    reply = self.client.put_object(
                        Bucket=self.name, Key=key, Body=bytes(data), IfNoneMatch="*"
                    )
                    return reply["ETag"]
                except ClientError as error:
                    code = error_code(error)
                    if code == "PreconditionFailed":
                        return None
                    # Another request for this key is being worked on; S3 asks to try again.
                    if code != "ConditionalRequestConflict" or tries == _CONFLICT_TRIES:
                        raise
        raise AssertionError  # the loop has no end of its own

    def get(
        self,
        key: str,
        *,
        start: int = 0,
        size: int | None = None,
        etag: str | None = None,
        most_bytes: int | None = None,
    ) -> bytes:
        """Fetch an object, or ``size`` bytes from ``start``.

        Parameters
        ----------
        most_bytes : no more are fetched, if the object is larger; None for no limit.
        etag : the version that is meant; None takes any.

        Raises
        ------
        MissingObjectError : there is no such object.
        S3Error : the object ends before ``start + size``, or is another version by now.
        """
        if size == 0:
            return b""  # a range cannot be empty
        more: dict[str, Any] = {}
        if start or size is not None:
            more["Range"] = f"bytes={start}-" + ("" if size is None else str(start + size - 1))
        if etag is not None:
            more["IfMatch"] = etag
        with explained(Subject.of_s3(self.name, key)):
            for tries in itertools.count(1):
                try:
                    with contextlib.closing(
                        self.client.get_object(Bucket=self.name, Key=key, **more)["Body"]
                    ) as body:
                        data = body.read(most_bytes)
                    break
                # boto3 tries again until the answer begins, not when the answer breaks off.
                except (ResponseStreamingError, IncompleteReadError, ReadTimeoutError):
                    if tries == _BODY_TRIES:
                        raise
                    time.sleep(2.0**tries / 4)
        if size is not None and len(data) != size:
            raise S3Error(f"{S3Name(self.name, key)} ends {size - len(data):,} bytes too early")
        return data

    def read(self, blob: Blob) -> bytes:
        """Fetch a blob of this bucket.

        Raises
        ------
        MissingObjectError, S3Error : as `get` does.
        DamagedObjectError : the blob has another checksum than it should have.
        """
        data = self.get(blob.key, start=blob.start, size=blob.size, etag=blob.etag)
        if blob.crc32 not in (None, zlib.crc32(data)):
            said = f"{S3Name(self.name, blob.key)} is damaged: its checksum is wrong"
            raise DamagedObjectError(said, blob.key)
        return data

    def head(self, key: str) -> ObjectInfo | None:
        """Return what S3 knows of an object, or None if there is none."""
        try:
            with explained(Subject.of_s3(self.name, key)):
                reply = self.client.head_object(Bucket=self.name, Key=key)
        except MissingObjectError:
            return None
        return ObjectInfo(
            key, reply["ContentLength"], reply["ETag"], reply["LastModified"].timestamp(), reply["Metadata"]
        )

    def list_objects(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects whose keys begin with ``prefix`` and come after ``start_after``, by key."""
        with explained(Subject.of_s3(self.name)):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.name, Prefix=prefix, StartAfter=start_after
            )
            for page in pages:
                for entry, stored_at in zip(page.get("Contents", []), page[TIMES_OF_CONTENTS], strict=True):  # type: ignore[literal-required]
                    modified_s = datetime.fromisoformat(stored_at).timestamp()
                    yield ObjectInfo(entry["Key"], entry["Size"], entry["ETag"], modified_s)

    def list_folders(self, prefix: str) -> Iterator[str]:
        """Yield what stands in keys between ``prefix``, which ends in a slash, and the next slash; each name once."""
        with explained(Subject.of_s3(self.name)):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.name, Prefix=prefix, Delimiter="/"
            )
            for page in pages:
                for entry in page.get("CommonPrefixes", []):
                    yield entry["Prefix"][len(prefix) : -1]

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; keys that are not there are ignored.

        Raises
        ------
        S3Error : some could not be deleted; all others are gone.
        """
        remaining, refused = iter(keys), []
        while chunk := list(itertools.islice(remaining, _KEYS_PER_DELETION)):
            with explained(Subject.of_s3(self.name)):
                reply: DeleteObjectsOutputTypeDef = self.client.delete_objects(
                    Bucket=self.name, Delete={"Objects": [{"Key": key} for key in chunk], "Quiet": True}
                )
            refused += reply.get("Errors", [])
        if refused:
            raise S3Error(
                f"{len(refused)} objects could not be deleted, the first is "
                f"{S3Name(self.name, refused[0].get('Key', ''))}: {refused[0].get('Message', 'no reason given')}"
            )

    def upload(
        self,
        path: Path,
        key: str,
        *,
        metadata: Mapping[str, str] | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Store a local file, a large one in several parts at once.

        Parameters
        ----------
        metadata : kept with the object.
        stopped : asked during the upload. Once the answer is True the upload is broken off.

        Raises
        ------
        UploadStoppedError : the upload was broken off.
        OSError : the file cannot be read.
        """
        with explained(Subject.of_s3(self.name, key)):
            self.client.upload_file(
                str(path),
                self.name,
                key,
                ExtraArgs={"Metadata": dict(metadata or {})},
                # boto3 leaves the file open when the callback raises. A small file is sent whole.
                Callback=(lambda _: _check_not(stopped))
                if path.stat().st_size > _UPLOAD_PART_BYTES
                else None,
                Config=TransferConfig(
                    multipart_threshold=_UPLOAD_PART_BYTES, multipart_chunksize=_UPLOAD_PART_BYTES
                ),
            )

    def multipart(self, key: str) -> MultipartUpload:
        """Begin an object that is put together from parts."""
        return MultipartUpload(self.client, self.name, key)


class UploadStoppedError(RiosBatchError):
    """An upload was broken off because nobody wants the object any more."""


def _check_not(stopped: Callable[[], bool]) -> None:
    if stopped():
        raise UploadStoppedError("the upload was broken off")
