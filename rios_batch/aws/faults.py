"""What boto3 raises, as sentences that say what to do."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
)

from rios_batch.aws.clients import error_code
from rios_batch.contract import ENV_STACK_REGION, Env
from rios_batch.errors import AWSError, AWSUnavailableError, DeniedError

if TYPE_CHECKING:
    from collections.abc import Iterator

_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"}
BAD_CREDENTIALS = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "AuthFailure",
}
_SERVER_ERROR, _TOO_MANY_REQUESTS = 500, 429


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn what boto3 raises into one sentence.

    Raises
    ------
    DeniedError : AWS forbids what the body does.
    AWSError : whenever the body raises an error of boto3; AWSUnavailableError where trying later may help.
    """
    try:
        yield
    except NoRegionError as error:
        raise AWSError(
            f"no AWS region is set, so {what} cannot be found; set {ENV_STACK_REGION}, or AWS_REGION, or run "
            "`aws configure`"
        ) from error
    except (
        NoCredentialsError,
        PartialCredentialsError,
        CredentialRetrievalError,
        SSOError,
        ProfileNotFound,
    ) as error:
        raise AWSError(
            f"{what} cannot be used without AWS credentials ({str(error).rstrip('.')}); run `aws configure` or "
            "`aws sso login`, or set AWS_PROFILE"
        ) from error
    except ClientError as error:
        raise _refused(error, what) from error
    except BotoCoreError as error:
        raise AWSUnavailableError(f"AWS cannot be reached for {what}: {error}") from error


def _refused(error: ClientError, what: str) -> AWSError:
    code, message = error_code(error), error.response.get("Error", {}).get("Message", "").rstrip(".")
    if code in BAD_CREDENTIALS:
        return AWSError(
            f"{what} cannot be used, the AWS credentials are wrong or have expired ({message}); renew them "
            "(`aws sso login`)"
        )
    if code in _DENIED:
        cure = (
            "its role is not as the stack made it, deploy it again (`npx cdk deploy`)"
            if os.environ.get(Env.BATCH_JOB_ID)
            else "attach the policy that the stack's output SubmitterPolicyArn names to your user or role"
        )
        return DeniedError(f"{what} cannot be used with these credentials ({message}); {cure}")
    kind = AWSUnavailableError if is_passing(error) else AWSError
    return kind(f"{what} cannot be used: AWS answered {error.operation_name} with {code}: {message}")


def is_passing(error: ClientError) -> bool:
    """Say whether the same request may succeed later."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= _SERVER_ERROR or status == _TOO_MANY_REQUESTS or "Throttl" in error_code(error)
