"""Objects in S3: every request that rios_batch makes there, and errors that say what to do."""

from __future__ import annotations

import contextlib
import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3.exceptions
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSOError,
)

from rios_batch.aws.calls import CALLS
from rios_batch.aws.clients import error_code, make_client
from rios_batch.aws.faults import BAD_CREDENTIALS, is_passing
from rios_batch.errors import MissingObjectError, RiosBatchError, S3DeniedError, S3Error, S3UnavailableError
from rios_batch.model.s3names import S3Name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import DeleteObjectsOutputTypeDef

    from rios_batch.model.blobs import Blob

MIB = 2**20
# S3's rules for a multipart upload; the last part may be smaller.
SMALLEST_PART_BYTES, LARGEST_PART_BYTES, MOST_PARTS = 5 * MIB, 5 * 2**30, 10_000
_KEYS_PER_DELETION = 1000
_CONFLICT_ATTEMPTS = 10
_BODY_ATTEMPTS = 5
_UPLOAD_PART_BYTES = 16 * MIB


def make_s3_client(*, region: str | None = None) -> S3Client:
    """Make an S3 client for many requests at once; threads may share it."""
    client: S3Client = make_client(
        "s3",
        region=region,
        config=Config(
            # While S3 spreads a new prefix over more servers it answers some requests with 503 SlowDown.
            retries={"mode": "standard", "max_attempts": 10},
            max_pool_connections=50,
            # The default adds a CRC32 to every part, which S3 then wants again for all parts at the end of the
            # upload; a part that is copied from another object has none. S3 computes a checksum of its own.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    return client


@dataclass(frozen=True)
class ObjectInfo:
    """An object; ``metadata`` is filled by `Bucket.head` only."""

    key: str
    size: int
    etag: str
    metadata: Mapping[str, str] = field(default_factory=dict)


class Bucket:
    """One bucket. Threads may share it.

    Every method raises S3Error, with a sentence on what to do, where S3 refuses or cannot be reached.
    """

    def __init__(self, name: str, client: S3Client | None = None) -> None:
        self.name = name
        self.client = client or make_s3_client()

    def check(self) -> None:
        """See that the bucket exists and may be listed."""
        with _explained("head_bucket", self.name):
            self.client.head_bucket(Bucket=self.name)

    def put(self, key: str, data: bytes | memoryview) -> str:
        """Store an object, replacing an older one; return its ETag."""
        with _explained("put_object", self.name, key):
            return self.client.put_object(Bucket=self.name, Key=key, Body=bytes(data))["ETag"]

    def put_new(self, key: str, data: bytes | memoryview) -> str | None:
        """Store an object if there is none of that key; return its ETag, or None if another one was first."""
        with _explained("put_object", self.name, key):
            for attempt in itertools.count(1):
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
                    if code != "ConditionalRequestConflict" or attempt == _CONFLICT_ATTEMPTS:
                        raise
        raise AssertionError  # the loop has no end of its own

    def get(self, key: str, *, start: int = 0, size: int | None = None, etag: str | None = None) -> bytes:
        """Fetch an object, or ``size`` bytes of it from ``start``.

        Parameters
        ----------
        etag : the version that is meant; None takes any.

        Raises
        ------
        MissingObjectError : there is no such object.
        S3Error : it ends before ``start + size``, or it is another version by now.
        """
        if size == 0:
            return b""  # a range cannot be empty
        more: dict[str, Any] = {}
        if start or size is not None:
            more["Range"] = f"bytes={start}-" + ("" if size is None else str(start + size - 1))
        if etag is not None:
            more["IfMatch"] = etag
        with _explained("get_object", self.name, key):
            for attempt in itertools.count(1):
                try:
                    data = self.client.get_object(Bucket=self.name, Key=key, **more)["Body"].read()
                    break
                # boto3 tries again until the answer begins, not when it breaks off.
                except (ResponseStreamingError, IncompleteReadError, ReadTimeoutError):
                    if attempt == _BODY_ATTEMPTS:
                        raise
                    time.sleep(2.0**attempt / 4)
        if size is not None and len(data) != size:
            raise S3Error(f"{S3Name(self.name, key)} ends {size - len(data):,} bytes too early")
        return data

    def read(self, blob: Blob) -> bytes:
        """Fetch a blob of this bucket.

        Raises
        ------
        MissingObjectError, S3Error : as `get` does.
        """
        return self.get(blob.key, start=blob.start, size=blob.size, etag=blob.etag)

    def head(self, key: str) -> ObjectInfo | None:
        """Return what S3 knows of an object, or None if there is none."""
        try:
            with _explained("head_object", self.name, key):
                reply = self.client.head_object(Bucket=self.name, Key=key)
        except MissingObjectError:
            return None
        return ObjectInfo(key, reply["ContentLength"], reply["ETag"], reply["Metadata"])

    def list_objects(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects whose keys begin with ``prefix`` and come after ``start_after``, by key."""
        with _explained("list_objects_v2", self.name):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.name, Prefix=prefix, StartAfter=start_after
            )
            for page in pages:
                for entry in page.get("Contents", []):
                    yield ObjectInfo(entry["Key"], entry["Size"], entry["ETag"])

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; keys that are not there are ignored.

        Raises
        ------
        S3Error : some could not be deleted; all others are gone.
        """
        remaining, refused = iter(keys), []
        while chunk := list(itertools.islice(remaining, _KEYS_PER_DELETION)):
            with _explained("delete_objects", self.name):
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
        stopped : asked during the upload; once it says True the upload is broken off.

        Raises
        ------
        UploadStoppedError : it was broken off.
        OSError : the file cannot be read.
        """
        with _explained("put_object", self.name, key):
            self.client.upload_file(
                str(path),
                self.name,
                key,
                ExtraArgs={"Metadata": dict(metadata or {})},
                # boto3 leaves the file open when this raises; a small one is sent before it matters.
                Callback=(lambda _: _check_not(stopped))
                if path.stat().st_size > _UPLOAD_PART_BYTES
                else None,
                Config=TransferConfig(
                    multipart_threshold=_UPLOAD_PART_BYTES, multipart_chunksize=_UPLOAD_PART_BYTES
                ),
            )

    def multipart(self, key: str) -> MultipartUpload:
        """Begin an object that is put together from parts."""
        return MultipartUpload(self, key)


class UploadStoppedError(RiosBatchError):
    """An upload was broken off because it is no longer wanted."""


def _check_not(stopped: Callable[[], bool]) -> None:
    if stopped():
        raise UploadStoppedError("the upload was broken off")


class MultipartUpload:
    """An object being put together from numbered parts; nothing is visible before `complete`.

    Parts may come in any order and from several threads; a part that is sent again replaces the earlier one.
    """

    def __init__(self, bucket: Bucket, key: str) -> None:
        self._bucket, self._key = bucket, key
        self._etags: dict[int, str] = {}
        self._sizes: dict[int, int] = {}
        self._over = False
        with self._explained("create_multipart_upload"):
            self._id = bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)["UploadId"]

    def put_part(self, number: int, data: bytes | memoryview) -> None:
        """Send bytes as part ``number``, from 1 to 10,000."""
        with self._explained("upload_part"):
            reply = self._bucket.client.upload_part(
                Bucket=self._bucket.name,
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
        with self._explained("upload_part_copy", source=S3Name(blob.bucket, blob.key)):
            reply = self._bucket.client.upload_part_copy(
                Bucket=self._bucket.name,
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
        with self._explained("complete_multipart_upload"):
            self._bucket.client.complete_multipart_upload(
                Bucket=self._bucket.name,
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
        with self._explained("abort_multipart_upload"):
            self._bucket.client.abort_multipart_upload(
                Bucket=self._bucket.name, Key=self._key, UploadId=self._id
            )

    def _note(self, number: int, etag: str, size: int) -> None:
        self._etags[number], self._sizes[number] = etag, size

    def _check_sizes(self) -> None:
        # A copied range that reaches past its source's end may be cut without a word, and all bytes after it
        # would be in the wrong place.
        with self._explained("list_parts"):
            pages = self._bucket.client.get_paginator("list_parts").paginate(
                Bucket=self._bucket.name, Key=self._key, UploadId=self._id
            )
            found = {part["PartNumber"]: part["Size"] for page in pages for part in page.get("Parts", [])}
        wrong = sorted(n for n in found.keys() | self._sizes.keys() if found.get(n) != self._sizes.get(n))
        if wrong:
            raise S3Error(
                f"part {wrong[0]} of {S3Name(self._bucket.name, self._key)} has {found.get(wrong[0], 0):,} bytes "
                f"in S3, not {self._sizes.get(wrong[0], 0):,}"
            )

    def _explained(
        self, operation: str, source: S3Name | None = None
    ) -> contextlib.AbstractContextManager[None]:
        return _explained(operation, self._bucket.name, self._key, source)


@contextlib.contextmanager
def _explained(operation: str, bucket: str, key: str = "", source: S3Name | None = None) -> Iterator[None]:
    """Turn what boto3 raises into one sentence."""
    what = str(S3Name(bucket, key)) if key else f"bucket {bucket!r}"
    if source is not None:
        what = f"{source}, which becomes a part of {what},"
    try:
        yield
    except boto3.exceptions.S3UploadFailedError as error:  # boto3 wraps S3's answer in a text
        cause = error.__context__
        raise (
            _refused(cause, operation, bucket, key, what)
            if isinstance(cause, ClientError)
            else S3Error(f"{what}: {error}")
        ) from error
    except ClientError as error:
        raise _refused(error, operation, bucket, key, what) from error
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, SSOError) as error:
        raise S3Error(
            f"{what} cannot be used without AWS credentials ({str(error).rstrip('.')}); run `aws configure` or "
            "`aws sso login`, or set AWS_PROFILE"
        ) from error
    except BotoCoreError as error:
        raise S3UnavailableError(f"S3 cannot be reached for {what}: {error}") from error


def _refused(error: ClientError, operation: str, bucket: str, key: str, what: str) -> S3Error:
    """Return the error for what S3 answered. The answer to HEAD has no body, so its code is the HTTP status."""
    code, message = error_code(error), error.response.get("Error", {}).get("Message", "").rstrip(".")
    said = f" (S3 says: {message})" if message else ""
    if code == "NoSuchBucket" or (code == "404" and operation == "head_bucket"):
        return S3Error(f"there is no bucket {bucket!r}; check its name" + (f" in {what}" if key else ""))
    if code in ("NoSuchKey", "404"):
        return MissingObjectError(f"{what} does not exist")
    if code in ("AccessDenied", "403", "AllAccessDisabled"):
        needed = sorted({action for call in CALLS if call.operation == operation for action in call.actions})
        return S3DeniedError(
            f"{what} may not be used with these credentials: they need {' and '.join(needed)}, and the bucket's policy "
            f"must not forbid it{said}"
        )
    if code in ("PreconditionFailed", "412"):
        advice = "is no longer what it was: another object is there by now"
    elif code in _BAD_CREDENTIALS:
        advice = f"cannot be used, the AWS credentials are wrong or have expired{said}; renew them (`aws sso login`)"
    elif code in _WRONG_REGION:
        advice = f"is in another region; set AWS_REGION to the bucket's{said}"
    else:
        advice = f"cannot be used: S3 answered {operation} with {code}{said}"
    return (S3UnavailableError if is_passing(error) else S3Error)(f"{what} {advice}")


# A HEAD is answered without a body: 400 is an expired token.
_BAD_CREDENTIALS = BAD_CREDENTIALS | {
    "InvalidAccessKeyId",
    "InvalidToken",
    "TokenRefreshRequired",
    "RequestTimeTooSkewed",
    "400",
}
_WRONG_REGION = frozenset(
    {"PermanentRedirect", "301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)
