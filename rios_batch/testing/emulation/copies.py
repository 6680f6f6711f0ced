"""S3's UploadPartCopy: the condition on the source's version, and the checksum of what was copied."""

from __future__ import annotations

import base64
import zlib
from typing import Any

from moto.s3.exceptions import PreconditionFailed
from moto.s3.responses import S3Response

from rios_batch.testing.emulation.patching import replace

_CONDITION = "x-amz-copy-source-if-match"


def patch() -> None:
    """Put this in place of moto's own, which lacks both."""
    copy = S3Response.upload_part_copy
    if getattr(copy, "knows_checksums", False):
        return

    def upload_part_copy(response: Any) -> Any:
        bucket, key = response.headers["x-amz-copy-source"].lstrip("/").split("/", 1)
        wanted = response.headers.get(_CONDITION)
        if wanted is not None and response.backend.get_object(bucket, key).etag != wanted:
            raise PreconditionFailed(_CONDITION)
        status, headers, body = copy(response)
        upload = response.backend.get_bucket(response.bucket_name).multiparts[response._get_param("uploadId")]
        if status == 200 and upload.metadata.get("x-amz-checksum-algorithm") == "CRC32":
            part = upload.parts[response._get_int_param("partNumber")].value
            checksum = base64.b64encode(zlib.crc32(part).to_bytes(4, "big")).decode()
            end = "</CopyPartResult>"
            text = body.decode() if isinstance(body, bytes) else body
            body = text.replace(end, f"<ChecksumCRC32>{checksum}</ChecksumCRC32>{end}")
            headers["content-length"] = str(len(body))
        return status, headers, body

    upload_part_copy.knows_checksums = True  # type: ignore[attr-defined]
    replace(S3Response, "upload_part_copy", upload_part_copy)
