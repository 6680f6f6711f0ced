"""Credentials for reading from S3 that boto3 can get and GDAL cannot.

GDAL before 3.11 knows neither IAM Identity Center nor ``credential_process``, and of roles to assume only the simplest.
"""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from osgeo import gdal

if TYPE_CHECKING:
    from rios_batch.aws.credentials import Keys

_S3 = "/vsis3/"
_BUCKET = re.compile(rf"{_S3}[^/\"<>]+")
_SECRET = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - a variable's name  # nosec B105
# What a profile says that GDAL does not, or not always, understand.
_SPECIAL = re.compile(r"^\s*(sso_\w+|credential_process|role_arn|login_session)\s*=", re.MULTILINE)
_PROFILES = (
    ("AWS_CONFIG_FILE", "~/.aws/config"),
    ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
)


class _Handed:
    """What this process has given GDAL.

    Attributes
    ----------
    keys : None as long as GDAL finds credentials itself.
    generation : raised with every new set of keys; files that were opened before go on with the old ones.
    """

    def __init__(self) -> None:
        self.keys: Keys | None = None
        self.generation = 0
        self.lock = threading.Lock()


_handed = _Handed()


def hand_over_credentials(name: str, path: str) -> None:
    """See that GDAL can sign its requests for a path, also with a profile that only boto3 knows.

    Keys that were set for GDAL stay, and requests that were asked to be unsigned stay so.

    Parameters
    ----------
    name : as the user wrote it; errors speak of it.
    path : what GDAL opens, or text of a file that names other files.

    Raises
    ------
    S3Error : the AWS profile does not exist, or gives no keys now.
    """
    if any(map(_needs_keys, set(_BUCKET.findall(path)))) and _profiles_are_special():
        _renew(f"input {name!r}")


def generation_of_credentials() -> int:
    """Return a number that changes when files in S3 must be opened again, for their keys will soon expire.

    Raises
    ------
    S3Error : the AWS profile gives no keys any more.
    """
    if _handed.keys is not None:
        _renew("inputs in S3")
    return _handed.generation


def handed_over() -> Keys | None:
    """Return the keys that this process has given GDAL, for another process that shall go on with them."""
    return _handed.keys


def take_over(keys: Keys | None) -> None:
    """Take note that GDAL has been given keys by the process that started this one, and renew them when it is time.

    GDAL itself has them with the settings of ``/vsis3/`` (:func:`rios_batch.read.network.path_options`).
    """
    _handed.keys = keys


def _needs_keys(bucket: str) -> bool:
    unsigned = gdal.GetPathSpecificOption(f"{bucket}/", "AWS_NO_SIGN_REQUEST") or "NO"
    own = _handed.keys.secret_key if _handed.keys else None
    return unsigned.upper() not in {"YES", "TRUE", "ON", "1"} and (
        gdal.GetPathSpecificOption(f"{bucket}/", _SECRET) in {None, own}
    )


def _profiles_are_special() -> bool:
    """Look into the files of profiles: boto3 takes a quarter of a second to import, and few runs need it here."""
    files = [Path(os.environ.get(name) or default).expanduser() for name, default in _PROFILES]
    return any(_SPECIAL.search(file.read_text(errors="replace")) for file in files if file.is_file())


def _renew(what: str) -> None:
    from rios_batch.aws.credentials import special_keys  # noqa: PLC0415 - imports boto3

    keys = special_keys(what)
    with _handed.lock:
        if keys is None or keys == _handed.keys:
            return
        for option, value in (
            ("AWS_ACCESS_KEY_ID", keys.access_key),
            (_SECRET, keys.secret_key),
            ("AWS_SESSION_TOKEN", keys.token or None),
        ):
            gdal.SetPathSpecificOption(_S3, option, value)
        if keys.region and not (
            gdal.GetConfigOption("AWS_REGION") or gdal.GetConfigOption("AWS_DEFAULT_REGION")
        ):
            gdal.SetPathSpecificOption(_S3, "AWS_REGION", keys.region)
        _handed.keys, _handed.generation = keys, _handed.generation + 1
