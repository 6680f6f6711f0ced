"""Names of objects in S3, as people write them and as GDAL does."""

from __future__ import annotations

from dataclasses import dataclass

from rios_batch.errors import ParameterError

SCHEME = "s3://"


@dataclass(frozen=True)
class S3Name:
    """One object: its bucket, and its key without a leading slash."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> S3Name:
        """Take ``s3://bucket/key`` apart.

        Raises
        ------
        ParameterError : there is no bucket or no key, or the key ends in a slash (a folder).
        """
        bucket, _, key = text.removeprefix(SCHEME).partition("/")
        if not (text.startswith(SCHEME) and bucket and key.strip("/") and not key.endswith("/")):
            raise ParameterError(f"{text!r} does not name an object in S3; write s3://bucket/folder/file")
        return cls(bucket, key)

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}"

    @property
    def gdal_name(self) -> str:
        """Return the name under which GDAL opens it."""
        return f"/vsis3/{self.bucket}/{self.key}"
