"""Where the region and the credentials of requests come from, for boto3 and for libraries that know fewer sources."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import boto3

from rios_batch.aws.faults import Subject, explained

if TYPE_CHECKING:
    from botocore.credentials import Credentials

# What chooses the profile and where it is read; a notebook may change these.
_CHOICES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
# botocore's names of the sources that every AWS library reads, and renews where they expire.
_COMMON = frozenset(
    {"env", "explicit", "shared-credentials-file", "config-file", "container-role", "iam-role"}
)


@dataclass(frozen=True)
class Keys:
    """What signs requests for a while; ``token`` is empty for keys that never expire."""

    access_key: str
    secret_key: str
    token: str
    region: str


def configured_region() -> str | None:
    """Return the region that the environment or the AWS profile names.

    AWS_REGION comes first, as it does for GDAL and the AWS command line; boto3 does not know that variable.
    """
    return os.environ.get("AWS_REGION") or boto3.session.Session().region_name


def special_keys(what: str) -> Keys | None:
    """Return the keys of a profile that boto3 can use and other libraries may not, renewed if they soon expire.

    Such profiles are those of IAM Identity Center, of ``credential_process`` and of roles to assume.

    Parameters
    ----------
    what : is read with the keys; errors speak of it.

    Returns
    -------
    None if there are no credentials, or other libraries find them, too.

    Raises
    ------
    S3Error : the profile does not exist, or gives no keys now.
    """
    with explained(Subject(what, "s3")):
        credentials = _credentials(*map(os.environ.get, _CHOICES))
        if credentials is None or credentials.method in _COMMON:
            return None
        frozen = credentials.get_frozen_credentials()
    return Keys(
        frozen.access_key or "", frozen.secret_key or "", frozen.token or "", configured_region() or ""
    )


@lru_cache(maxsize=1)
def _credentials(*_choices: str | None) -> Credentials | None:
    """Return boto3's credentials; these renew their keys, minutes before they expire, whenever they are asked."""
    return boto3.session.Session().get_credentials()
