"""An object in S3 that is put together from parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rios_batch.aws.faults import Subject, explained
from rios_batch.errors import S3Error
from rios_batch.model.s3names import S3Name

if TYPE_CHECKING:
    import contextlib

    from mypy_boto3_s3 import S3Client

    from rios_batch.model.blobs import Blob

MIB = 2**20
# S3's rules for a multipart upload; the last part may be smaller.
SMALLEST_PART_BYTES, MOST_PARTS = 5 * MIB, 10_000


class MultipartUpload:
    """An object being put together from numbered parts; nothing is visible before `complete`.

    Parts may come in any order and from several threads; a part that is sent again replaces the earlier one.
    """

    def __init__(self, client: S3Client, bucket: str, key: str) -> None:
        self._client, self._bucket, self._key = client, bucket, key
        self._etags: dict[int, str] = {}
        self._sizes: dict[int, int] = {}
        self._over = False
        with self._explained():
            self._id = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]

    def put_part(self, number: int, data: bytes | memoryview) -> None:
        """Send bytes as part ``number``, from 1 to 10,000."""
        with self._explained():
            reply = self._client.upload_part(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=self._id,
                PartNumber=number,
                Body=bytes(data),
            )
        self._note(number, reply["ETag"], len(data))

    def copy_part(self, number: int, blob: Blob) -> None:
        """Have S3 copy a blob as part ``number``, if it still is the version that the blob names.

        S3 copies a range only out of an object of more than 5 MiB.
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
        self._note(number, reply["CopyPartResult"]["ETag"], blob.size)

    def complete(self) -> None:
        """Make the object appear.

        Raises
        ------
        S3Error : a part has another size than was asked for; the upload is then still to be aborted.
        """
        self._check_sizes()
        with self._explained():
            self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=self._id,
                MultipartUpload={
                    "Parts": [{"PartNumber": n, "ETag": self._etags[n]} for n in sorted(self._etags)]
                },
            )
        self._over = True

    def abort(self) -> None:
        """Remove all parts; harmless after `complete`."""
        if self._over:
            return
        self._over = True
        with self._explained():
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._id)

    def _note(self, number: int, etag: str, size: int) -> None:
        self._etags[number], self._sizes[number] = etag, size

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
