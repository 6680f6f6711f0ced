"""What boto3 raises, as sentences that say what to do: the one translator for all services."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from boto3.exceptions import S3UploadFailedError
from botocore import xform_name
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from rios_batch.aws.calls import CALLS
from rios_batch.contract import ENV_STACK_REGION, Env
from rios_batch.errors import (
    AWSError,
    AWSUnavailableError,
    ChangedObjectError,
    DeniedError,
    JobMgrError,
    MissingObjectError,
    RiosBatchError,
    S3DeniedError,
    S3Error,
    S3UnavailableError,
)
from rios_batch.model.s3names import S3Name

if TYPE_CHECKING:
    from collections.abc import Container, Iterator


class QueueGoneError(JobMgrError):
    """The run's queue was deleted: the run is over."""


QUEUE_GONE = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})
_BAD_CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "SignatureDoesNotMatch",
        "AuthFailure",
    }
)
_BAD_CREDENTIALS_OF_S3 = _BAD_CREDENTIALS | {
    "InvalidAccessKeyId",
    "InvalidToken",
    "TokenRefreshRequired",
    "RequestTimeTooSkewed",
    "400",  # an expired token, where the answer has no body
}
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"})
_WRONG_REGION = frozenset(
    {"PermanentRedirect", "301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)
_SERVER_ERROR, _TOO_MANY_REQUESTS = 500, 429


@dataclass(frozen=True)
class Subject:
    """What requests are about.

    Attributes
    ----------
    text : how a sentence names the subject.
    service : which rows of the table apply: ``s3``, ``sqs``, or ``aws`` for all others.
    bucket : the S3 bucket that is asked.
    """

    text: str
    service: str = "aws"
    bucket: str = ""

    @classmethod
    def of_s3(cls, bucket: str, key: str = "", *, source: S3Name | None = None) -> Subject:
        """Return the subject of requests for an object, for a bucket, or for a copy of ``source``."""
        text = str(S3Name(bucket, key)) if key else _named(bucket)
        if source is not None:
            text = f"{source}, which becomes a part of {text},"
        return cls(text, "s3", bucket)

    @classmethod
    def of_queue(cls, url: str) -> Subject:
        """Return the subject of requests for a run's queue."""
        return cls(f"queue {url}", "sqs")


@dataclass(frozen=True)
class _Fault:
    """An error class, and a sentence with the names that `_refused` fills in."""

    kind: type[RiosBatchError]
    sentence: str


@dataclass(frozen=True)
class _Family:
    """The errors for what every service of a family may answer.

    Attributes
    ----------
    name : what the person is told has answered.
    kind : error class.
    passing : error class where trying later may help.
    other : sentence for an answer that is not in the table.
    """

    name: str
    kind: type[RiosBatchError]
    passing: type[RiosBatchError]
    other: str


_AWS = _Family(
    "AWS",
    AWSError,
    AWSUnavailableError,
    "{what} cannot be used: AWS answered {operation} with {code}: {message}",
)
_FAMILIES = {
    "aws": _AWS,
    "sqs": _AWS,
    "s3": _Family(
        "S3", S3Error, S3UnavailableError, "{what} cannot be used: S3 answered {call} with {code}{said}"
    ),
}

_ROWS: tuple[tuple[tuple[str, ...], frozenset[str], type[RiosBatchError], str], ...] = (
    (("sqs",), QUEUE_GONE, QueueGoneError, "{what} is gone"),
    (
        ("aws", "sqs"), _BAD_CREDENTIALS, AWSError,
        ("{what} cannot be used, the AWS credentials are wrong or have expired ({message}); renew them "
         "(`aws sso login`)"),
    ),
    (
        ("aws", "sqs"), _DENIED, DeniedError,
        "{what} cannot be used with these credentials ({message}); {cure}",
    ),
    (
        ("s3",), frozenset({"NoSuchBucket"}), S3Error,
        "there is no bucket {bucket!r}; check its name{within}",
    ),
    (("s3",), frozenset({"NoSuchKey", "404"}), MissingObjectError, "{what} does not exist"),
    (
        ("s3",), frozenset({"AccessDenied", "403", "AllAccessDisabled"}), S3DeniedError,
        ("{what} may not be used with these credentials: they need {actions}, and the bucket's policy "
         "must not forbid it{said}"),
    ),
    (
        ("s3",), frozenset({"PreconditionFailed", "412"}), ChangedObjectError,
        "{what} is no longer what it was: another object is there by now",
    ),
    (
        ("s3",), _BAD_CREDENTIALS_OF_S3, S3Error,
        "{what} cannot be used, the AWS credentials are wrong or have expired{said}; renew them (`aws sso login`)",
    ),
    (
        ("s3",), _WRONG_REGION, S3Error,
        "{what} is in another region; set AWS_REGION to the bucket's{said}",
    ),
)  # fmt: skip
_TABLE = {
    (service, code): _Fault(kind, sentence)
    for services, codes, kind, sentence in _ROWS
    for service in services
    for code in codes
}


@contextlib.contextmanager
def explained(what: str | Subject, *, ignoring: Container[str] = ()) -> Iterator[None]:
    """Turn what boto3 raises in the body into one sentence.

    Parameters
    ----------
    what : what the body's requests are about.
    ignoring : AWS's codes of errors that end the body and are no errors there.

    Raises
    ------
    DeniedError, S3DeniedError : AWS forbids what the body does.
    ChangedObjectError : an object is another version than the one that is meant.
    QueueGoneError, MissingObjectError : there is no such queue or object.
    AWSUnavailableError, S3UnavailableError : trying later may help.
    AWSError, S3Error : whenever else the body raises an error of boto3.
    """
    subject = what if isinstance(what, Subject) else Subject(what)
    try:
        yield
    except ClientError as error:
        if error_code(error) not in ignoring:
            raise _refused(error, subject) from error
    except S3UploadFailedError as error:  # boto3 wraps S3's answer in a text
        answer = error.__context__
        if isinstance(answer, ClientError):
            raise _refused(answer, subject) from error
        raise S3Error(f"{subject.text}: {error}") from error
    except BotoCoreError as error:
        raise _not_sent(error, subject) from error
    except ResponseParserError as error:
        family = _FAMILIES[subject.service]
        raise family.passing(
            f"{family.name}'s answer about {subject.text} was cut, or is not {family.name}'s ({error}); try again, or "
            "look at what is between here and AWS, such as a proxy"
        ) from error


def error_code(error: ClientError) -> str:
    """Return AWS's code of an error, such as ``AccessDenied``."""
    return error.response.get("Error", {}).get("Code", "")


def _refused(error: ClientError, subject: Subject) -> RiosBatchError:
    """Return the error for what AWS answered."""
    family, call, code = _FAMILIES[subject.service], xform_name(error.operation_name), error_code(error)
    if (call, code) == ("head_bucket", "404"):
        code = "NoSuchBucket"  # the answer to HEAD has no body, so the code is the HTTP status
    message = error.response.get("Error", {}).get("Message", "").rstrip(".")
    other = _Fault(family.passing if _is_passing(error) else family.kind, family.other)
    fault = _TABLE.get((subject.service, code), other)
    return fault.kind(
        fault.sentence.format(
            what=subject.text,
            bucket=subject.bucket,
            within="" if subject.text == _named(subject.bucket) else f" in {subject.text}",
            operation=error.operation_name,
            call=call,
            code=code,
            message=message,
            said=f" (S3 says: {message})" if message else "",
            actions=" and ".join(_needed_actions(call)),
            cure=_cure_of_denial(),
        )
    )


def _not_sent(error: BotoCoreError, subject: Subject) -> RiosBatchError:
    """Return the error for a request that AWS never answered."""
    family = _FAMILIES[subject.service]
    if isinstance(error, NoRegionError):
        return family.kind(
            f"no AWS region is set, so {subject.text} cannot be found; set {ENV_STACK_REGION}, or AWS_REGION, or run "
            "`aws configure`"
        )
    if isinstance(
        error,
        NoCredentialsError
        | PartialCredentialsError
        | CredentialRetrievalError
        | SSOError
        | TokenRetrievalError  # a login that has expired
        | ProfileNotFound,
    ):
        return family.kind(
            f"{subject.text} cannot be used without AWS credentials ({str(error).rstrip('.')}); run `aws configure` or "
            "`aws sso login`, or set AWS_PROFILE"
        )
    return family.passing(f"{family.name} cannot be reached for {subject.text}: {error}")


def _is_passing(error: ClientError) -> bool:
    """Say whether the same request may succeed later."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= _SERVER_ERROR or status == _TOO_MANY_REQUESTS or "Throttl" in error_code(error)


def _needed_actions(operation: str) -> list[str]:
    return sorted({action for call in CALLS if call.operation == operation for action in call.actions})


def _cure_of_denial() -> str:
    if os.environ.get(Env.BATCH_JOB_ID):
        return "its role is not as the stack made it, deploy it again (`npx cdk deploy`)"
    return "attach the policy that the stack's output SubmitterPolicyArn names to your user or role"


def _named(bucket: str) -> str:
    return f"bucket {bucket!r}"
