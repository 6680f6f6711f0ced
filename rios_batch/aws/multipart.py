"""An object in S3 that is put together from parts."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING

from rios_batch.aws.faults import Subject, explained
from rios_batch.errors import DamagedObjectError, S3Error
from rios_batch.model.s3names import S3Name

if TYPE_CHECKING:
    import contextlib

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

    from rios_batch.model.blobs import Blob

MIB = 2**20
# S3's rules for a multipart upload; the last part may be smaller.
SMALLEST_PART_BYTES, MOST_PARTS = 5 * MIB, 10_000


class MultipartUpload:
    """An object being put together from numbered parts. Nothing is visible before `complete`.

    Parts may come in any order and from several threads. A part that is sent again replaces the earlier one. S3 has a
    CRC-32 of each part, and takes the object only if these are those of what was sent and copied.

    Raises
    ------
    S3Error : the upload cannot be begun.
    """

    def __init__(self, client: S3Client, bucket: str, key: str) -> None:
        self._client, self._bucket, self._key = client, bucket, key
        self._sent: dict[int, CompletedPartTypeDef] = {}
        self._sizes: dict[int, int] = {}
        self._over = False
        with self._explained():
            reply = client.create_multipart_upload(Bucket=bucket, Key=key, ChecksumAlgorithm="CRC32")
            self._id = reply["UploadId"]

    def put_part(self, number: int, data: bytes | memoryview) -> None:
        """Send bytes as part ``number``, from 1 to 10,000.

        Raises
        ------
        S3Error : S3 refuses.
        """
        checksum = _as_text(zlib.crc32(data))
        with self._explained():
            reply = self._client.upload_part(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=self._id,
                PartNumber=number,
                Body=bytes(data),
                ChecksumCRC32=checksum,
            )
        self._note(number, reply["ETag"], len(data), checksum)

    def copy_part(self, number: int, blob: Blob) -> None:
        """Have S3 copy a blob as part ``number``, if the object still is the version that the blob names.

        S3 copies a range only out of an object of more than 5 MiB.

        Raises
        ------
        S3Error : S3 refuses, or the object is another version.
        DamagedObjectError : what S3 has copied has another checksum than the blob should have.
        """
        with self._explained(source=S3Name(blob.bucket, blob.key)):
            reply = self._client.upload_part_copy(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=self._id,
                PartNumber=number,
                CopySource={"Bucket": blob.bucket, "Key": blob.key},
                CopySourceIfMatch=blob.etag,
                CopySourceRange=f"bytes={blob.start}-{blob.start + blob.size - 1}",
            )
        copied = reply["CopyPartResult"]
        checksum = copied.get("ChecksumCRC32")
        if checksum is None:
            raise S3Error(
                f"S3 does not say the checksum of a part that it has copied from {S3Name(blob.bucket, blob.key)}, so "
                "nobody knows whether the part is right; AWS says it, and other services that speak S3 must, too"
            )
        if blob.crc32 not in (None, _as_number(checksum)):
            raise DamagedObjectError(
                f"{S3Name(blob.bucket, blob.key)} is damaged: S3 says that the checksum of what becomes a part of "
                f"{S3Name(self._bucket, self._key)} is {_as_number(checksum):08x}, and it was {blob.crc32:08x}",
                blob.key,
            )
        self._note(number, copied["ETag"], blob.size, checksum)

    def complete(self) -> None:
        """Make the object appear.

        Raises
        ------
        S3Error : S3 refuses, or a part has another size than was asked for. The upload is then still to be aborted.
        """
        self._check_sizes()
        with self._explained():
            self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=self._id,
                MultipartUpload={"Parts": [self._sent[n] for n in sorted(self._sent)]},
            )
        self._over = True

    def abort(self) -> None:
        """Remove all parts. Harmless after `complete`.

        Raises
        ------
        S3Error : S3 refuses.
        """
        if self._over:
            return
        self._over = True
        with self._explained():
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._id)

    def _note(self, number: int, etag: str, size: int, checksum: str) -> None:
        self._sent[number] = {"PartNumber": number, "ETag": etag, "ChecksumCRC32": checksum}
        self._sizes[number] = size

    def _check_sizes(self) -> None:
        # A copied range that reaches past its source's end may be cut without a word, and all bytes after it
        # would be in the wrong place.
        with self._explained():
            pages = self._client.get_paginator("list_parts").paginate(
                Bucket=self._bucket, Key=self._key, UploadId=self._id
            )
            found = {part["PartNumber"]: part["Size"] for page in pages for part in page.get("Parts", [])}
        wrong = sorted(n for n in found.keys() | self._sizes.keys() if found.get(n) != self._sizes.get(n))
        if wrong:
            raise S3Error(
                f"part {wrong[0]} of {S3Name(self._bucket, self._key)} has {found.get(wrong[0], 0):,} bytes "
                f"in S3, not {self._sizes.get(wrong[0], 0):,}"
            )

    def _explained(self, source: S3Name | None = None) -> contextlib.AbstractContextManager[None]:
        return explained(Subject.of_s3(self._bucket, self._key, source=source))


def _as_text(crc32: int) -> str:
    """Return a CRC-32 as S3 writes it."""
    return base64.b64encode(crc32.to_bytes(4, "big")).decode()


def _as_number(checksum: str) -> int:
    """Return the CRC-32 that S3 has written."""
    return int.from_bytes(base64.b64decode(checksum), "big")
