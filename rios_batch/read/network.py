"""Rasters that GDAL reads over the network: their names, GDAL's settings for them, and why one cannot be read."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from osgeo import gdal

from rios_batch.errors import ParameterError
from rios_batch.model.s3names import SCHEME, S3Name
from rios_batch.read.credentials import hand_over_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rios_batch.model.spec import RunSpec

_CURL = "/vsicurl/"
_GOOGLE = "gs://"
_FILE_SYSTEMS = (
    "/vsis3/",
    _CURL,
    "/vsigs/",
    "/vsiaz/",
    "/vsiadls/",
    "/vsioss/",
    "/vsiswift/",
    "/vsiwebhdfs/",
)
# At the start of a name or within another (/vsizip//vsis3/..., NETCDF:"/vsis3/..."), but not a folder of that name.
_REMOTE = re.compile(rf"(?<![\w.-])({'|'.join(_FILE_SYSTEMS)})")

# They matter to the network only. Merging of neighbouring ranges and HTTP/2 multiplexing are on by default; VSI_CACHE
# and GDAL_INGESTED_BYTES_AT_OPEN save no request once chunks are this large.
_SETTINGS = {
    # What is not read ahead (rios_batch/read/ahead.py) is read block by block, and neighbouring blocks mostly follow
    # each other in a file. GDAL's 16 KiB would be one request per block: 579 for four rows of windows of a raster with
    # 3 bands in 256 px blocks of 30 KB, against 147 with this, for 2 % more bytes. It takes as long to transfer as a
    # tenth of a request's latency.
    "CPL_VSIL_CURL_CHUNK_SIZE": str(128 * 2**10),
    # GDAL's 16 MiB are 128 such chunks; with many inputs and bands a chunk would be gone before its neighbour is read.
    "CPL_VSIL_CURL_CACHE_SIZE": str(64 * 2**20),
    # S3 answers 503 while it spreads a busy prefix over more servers. The delay doubles with every try.
    "GDAL_HTTP_MAX_RETRY": "8",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    # A connection that goes silent would hold a tile for ever; its lease is renewed meanwhile.
    "GDAL_HTTP_CONNECTTIMEOUT": "30",
    "GDAL_HTTP_LOW_SPEED_TIME": "60",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
    "GDAL_HTTP_TCP_KEEPALIVE": "YES",
}
# GDAL before 3.11 takes the credentials of a machine's or container's role for those of a web identity in every file
# but a process's first, and then sends them for ever, though they live for six hours.
_WEB_IDENTITY = "CPL_AWS_WEB_IDENTITY_ENABLE"
# For a file system, not for local files: whether a folder is listed to find side files (.hdr, .aux.xml). A "folder" in
# S3 may have a million objects. TRUE asks for the few side files that a format has; EMPTY_DIR would miss them.
_LISTING = ("GDAL_DISABLE_READDIR_ON_OPEN", "TRUE")

# What a worker on another machine must know about an input's bucket; credentials are not among it.
_TRAVELLING = {
    "/vsis3/": (
        "AWS_NO_SIGN_REQUEST",
        "AWS_REQUEST_PAYER",
        "AWS_S3_ENDPOINT",
        "AWS_HTTPS",
        "AWS_VIRTUAL_HOSTING",
    ),
    "/vsigs/": ("GS_NO_SIGN_REQUEST", "GS_USER_PROJECT"),
    "/vsiaz/": ("AZURE_NO_SIGN_REQUEST", "AZURE_STORAGE_ACCOUNT"),
}
# What a script may have set for a path by gdal.SetPathSpecificOption; GDAL does not list what was set.
_FOR_A_PATH = (
    *(name for names in _TRAVELLING.values() for name in names),
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "GS_ACCESS_KEY_ID",
    "GS_SECRET_ACCESS_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_ACCESS_TOKEN",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_SAS_TOKEN",
    "GDAL_HTTP_AUTH",
    "GDAL_HTTP_BEARER",
    "GDAL_HTTP_COOKIE",
    "GDAL_HTTP_HEADERS",
    "GDAL_HTTP_HEADER_FILE",
    "GDAL_HTTP_UNSAFESSL",
    "GDAL_HTTP_USERPWD",
)
_LOOPBACK = re.compile(r"(https?://)?(localhost|127\.|\[::1\])")

# GDAL's numbers of what went wrong last (cpl_vsi_error.h); its Python bindings have no names for them.
_ACCESS_DENIED, _NO_BUCKET, _NO_OBJECT, _BAD_CREDENTIALS, _BAD_SIGNATURE = 6, 7, 8, 9, 10

# What a server answers that is not a bucket of a known cloud.
_REFUSED = {
    "response code: 401": (
        "may not be read: the server asks who you are (HTTP 401); set GDAL_HTTP_HEADER_FILE to a file with the line "
        "'Authorization: Bearer ...', or sign the address"
    ),
    "response code: 403": (
        "may not be read: the server forbids it (HTTP 403); sign the address anew if it is a signed one, which "
        "expires, or set GDAL_HTTP_HEADER_FILE to a file with a token that is allowed to read it"
    ),
}


def gdal_name(name: str) -> str:
    """Return the name that GDAL opens for ``s3://``, ``gs://`` and ``https://``; any other is one already.

    Raises
    ------
    ParameterError : an ``s3://`` name without bucket or key.
    """
    if name.startswith(SCHEME):
        return S3Name.parse(name).gdal_name
    if name.startswith(_GOOGLE):
        return "/vsigs/" + name.removeprefix(_GOOGLE)
    if name.startswith(("http://", "https://")):
        return _CURL + name
    return name


def is_remote(path: str) -> bool:
    """Say whether GDAL reads this over the network, if only in part (``/vsizip//vsis3/...``)."""
    return _REMOTE.search(path) is not None


def prepare_network(name: str, path: str) -> None:
    """Before GDAL reads this over the network, give it settings and credentials; nothing happens for local files.

    Settings suit reading blocks; those that the user has chosen stay.

    Parameters
    ----------
    name : as the user wrote it; errors speak of it.
    path : what GDAL will open.

    Raises
    ------
    S3Error : the AWS profile gives no credentials.
    """
    text = _what_names_files(path)
    if not is_remote(text):
        return
    settings = dict(_SETTINGS)
    if not os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        settings[_WEB_IDENTITY] = "NO"
    for option, value in settings.items():
        if gdal.GetConfigOption(option) is None:
            gdal.SetConfigOption(option, value)
    option, value = _LISTING
    for system in _FILE_SYSTEMS:
        if gdal.GetPathSpecificOption(system, option) is None:  # looks at the general option, too
            gdal.SetPathSpecificOption(system, option, value)
    hand_over_credentials(name, text)


def forget_answers(path: str) -> bool:
    """Have GDAL forget what servers have answered, credentials included; say whether it reads this over the network."""
    if not is_remote(_what_names_files(path)):
        return False
    gdal.VSICurlClearCache()
    return True


def _what_names_files(path: str) -> str:
    """Return the text that names files: a local VRT's own, for its sources may be anywhere."""
    file = Path(path)
    if path.lower().endswith(".vrt") and not is_remote(path) and file.is_file():
        return file.read_text(errors="replace")
    return path


def check_no_memory_files(spec: RunSpec) -> None:
    """See that no input lies in this process's memory, which another process does not have.

    Raises
    ------
    ParameterError : names the input.
    """
    for file in (file for input_spec in spec.inputs for file in input_spec.files):
        if "/vsimem/" in _what_names_files(file.path):
            raise ParameterError(
                f"input {file.name!r} lies in the memory of this process (/vsimem/), which worker processes do not "
                "have; write it into a file, or use setJobManagerType('threads')"
            )


def release_connections() -> None:
    """Close idle connections, which main does not need while workers work, and forget what was read through them.

    An object may have been replaced since an earlier run of this process.
    """
    gdal.VSICurlClearCache()


def explain_failure(name: str, text: str) -> tuple[bool, str]:
    """Say why a raster could not be opened over the network.

    Parameters
    ----------
    name : as the user wrote it.
    text : what GDAL said.

    Returns
    -------
    Whether it is missing, and what is to be said of it.
    """
    code = gdal.VSIGetLastErrorNo()
    if code == _NO_OBJECT or "response code: 404" in text:
        return True, "does not exist"
    if code == _NO_BUCKET:
        bucket = gdal_name(name).split("/")[2]
        return True, f"does not exist: there is no bucket {bucket!r}; check its name"
    for response, why in _REFUSED.items():
        if response in text:
            return False, why
    if code == _ACCESS_DENIED:
        return False, (
            f"may not be read ({text}): the credentials need s3:GetObject, and s3:ListBucket to tell a missing "
            "object from a forbidden one; for a requester-pays bucket set AWS_REQUEST_PAYER=requester, for a public "
            "one AWS_NO_SIGN_REQUEST=YES"
        )
    if code in (_BAD_CREDENTIALS, _BAD_SIGNATURE):
        return False, (
            f"cannot be read without valid AWS credentials ({text}); run `aws configure` or set AWS_PROFILE, or for a "
            "public bucket AWS_NO_SIGN_REQUEST=YES"
        )
    return False, f"cannot be opened as a raster: {text}"


def cloud_options(spec: RunSpec) -> dict[str, dict[str, str]]:
    """Return the settings that inputs of a run need on any machine, for each bucket: ``{"/vsis3/bucket": {...}}``.

    They come from the environment, GDAL's configuration, or what was set for the bucket. Credentials are never
    included, nor an endpoint on this very machine, which would be another one elsewhere.
    """
    options: dict[str, dict[str, str]] = {}
    for path in {file.path for input_spec in spec.inputs for file in input_spec.files}:
        for system, names in _TRAVELLING.items():
            for bucket in re.findall(rf"{system}[^/\"<>]+", _what_names_files(path)):
                given = {name: gdal.GetPathSpecificOption(f"{bucket}/", name) for name in names}
                if _LOOPBACK.match(given.get("AWS_S3_ENDPOINT") or ""):
                    for name in ("AWS_S3_ENDPOINT", "AWS_HTTPS", "AWS_VIRTUAL_HOSTING"):
                        del given[name]
                options[bucket] = {name: value for name, value in given.items() if value is not None}
    return {bucket: given for bucket, given in sorted(options.items()) if given}


def path_options(spec: RunSpec) -> dict[str, dict[str, str]]:
    """Return what this process has set for the folders of a run's inputs, credentials included.

    It is for other processes of this machine that start without what a script has set: ``{"/vsis3/bucket/a/": {...}}``.
    """
    options: dict[str, dict[str, str]] = {}
    for path in {file.path for input_spec in spec.inputs for file in input_spec.files}:
        for found in _REMOTE.finditer(_what_names_files(path)):
            system = found.group(1)
            folder = (
                re.split(r"[\"'<>\s]", found.string[found.start() :], maxsplit=1)[0].rpartition("/")[0] + "/"
            )
            for prefix in (system, folder):
                if prefix not in options:
                    options[prefix] = _set_for(prefix, beyond=system if prefix != system else None)
    return {prefix: given for prefix, given in sorted(options.items()) if given}


def _set_for(prefix: str, *, beyond: str | None) -> dict[str, str]:
    """Return the options of a path that are not those of the file system, or else not those of the process."""
    general = (
        gdal.GetConfigOption if beyond is None else functools.partial(gdal.GetPathSpecificOption, beyond)
    )
    given = {name: gdal.GetPathSpecificOption(prefix, name) for name in _FOR_A_PATH}
    return {name: value for name, value in given.items() if value is not None and value != general(name)}


def apply_cloud_options(options: Mapping[str, Mapping[str, str]]) -> None:
    """Set what `cloud_options` or `path_options` returned, for these places only.

    An unsigned input does not make others so.
    """
    for bucket, given in options.items():
        for name, value in given.items():
            gdal.SetPathSpecificOption(f"{bucket.removesuffix('/')}/", name, value)
