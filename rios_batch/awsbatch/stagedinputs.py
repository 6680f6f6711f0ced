"""Copying a run's local inputs to S3, and from there to workers on other machines where GDAL needs a file."""

from __future__ import annotations

import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from osgeo import gdal

from rios_batch.awsbatch.runstore import InputCopy
from rios_batch.errors import ImageOpenError, ParameterError
from rios_batch.gdalapi import reason
from rios_batch.model.s3names import S3Name
from rios_batch.read.facts import is_file_name
from rios_batch.read.network import is_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rios_batch.aws.objects import Bucket
    from rios_batch.model.spec import InputFile, RunSpec

_UPLOADS_AT_ONCE = 8
_FETCH_BYTES = 64 * 2**20  # in memory at a time
_HASH = "sha256"  # the name under which an object's metadata keeps it


@dataclass(frozen=True)
class _Dataset:
    """A local input.

    Attributes
    ----------
    path : the input's GDAL name.
    file : the part of the GDAL name that is a file or folder.
    main : the same file as an absolute path.
    files : all files that the input consists of.
    needs_files : GDAL reads the input from files only.
    """

    path: str
    file: str
    main: Path
    files: frozenset[Path]
    needs_files: bool


def copy_local_inputs(
    spec: RunSpec, bucket: Bucket, prefix: str, stopped: Callable[[], bool] = lambda: False
) -> dict[str, InputCopy]:
    """Copy every local input to S3 with all the files it consists of, each once.

    What is there already with the same content is not sent again. Files keep their places relative to each
    other, so that a VRT finds its sources by relative names.

    Parameters
    ----------
    spec : the run.
    bucket : the exchange bucket.
    prefix : the folder within the bucket, without a slash at its end.
    stopped : asked now and then; once it says True the uploads are broken off.

    Returns
    -------
    The copy of each local ``InputFile.path``.

    Raises
    ------
    ParameterError : an input cannot be copied: a VRT with absolute names, something in this process's memory.
    ImageOpenError : GDAL cannot open an input.
    S3Error : a file cannot be uploaded.
    """
    inputs = {
        file.path: file for input_spec in spec.inputs for file in input_spec.files if not file.unreadable
    }
    found = [_local_dataset(file) for file in inputs.values()]
    datasets = [dataset for dataset in found if dataset is not None]
    if not datasets:
        return {}
    files = set[Path]().union(*(dataset.files for dataset in datasets))
    top = Path(os.path.commonpath([path.parent for path in [*files, *(one.main for one in datasets)]]))

    def name_of(path: Path) -> S3Name:
        return S3Name(bucket.name, f"{prefix}/{path.relative_to(top).as_posix()}")

    with ThreadPoolExecutor(_UPLOADS_AT_ONCE, thread_name_prefix="rios_batch-s3") as pool:
        for _ in pool.map(lambda path: _upload(path, bucket, name_of(path).key, stopped), sorted(files)):
            pass
    return {
        one.path: InputCopy(
            name=one.path.replace(one.file, name_of(one.main).gdal_name),
            fetch={name_of(path).key: path.stat().st_size for path in one.files} if one.needs_files else {},
        )
        for one in datasets
    }


def paths_on_worker(copies: Mapping[str, InputCopy], bucket: Bucket, folder: Path) -> dict[str, str]:
    """Return the names under which GDAL opens the copies, after fetching what GDAL cannot read from S3.

    Parameters
    ----------
    copies : the copy of each local ``InputFile.path``.
    bucket : the exchange bucket.
    folder : where fetched files go.

    Raises
    ------
    S3Error : a file cannot be fetched.
    """
    for key, size in {key: size for copy in copies.values() for key, size in copy.fetch.items()}.items():
        target = folder / key
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            for start in range(0, size, _FETCH_BYTES):
                file.write(bucket.get(key, start=start, size=min(_FETCH_BYTES, size - start)))
    there = S3Name(bucket.name, "").gdal_name
    return {
        path: copy.name.replace(there, f"{folder}/") if copy.fetch else copy.name
        for path, copy in copies.items()
    }


def _upload(path: Path, bucket: Bucket, key: str, stopped: Callable[[], bool]) -> None:
    if stopped():
        return
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, _HASH).hexdigest()
    there = bucket.head(key)
    if there is None or there.size != path.stat().st_size or there.metadata.get(_HASH) != digest:
        bucket.upload(path, key, metadata={_HASH: digest}, stopped=stopped)


def _local_dataset(file: InputFile) -> _Dataset | None:
    """Find an input's files. None means that every worker can open the input by its own name.

    Raises
    ------
    ParameterError : the input cannot be copied.
    ImageOpenError : GDAL cannot open the input.
    """
    path = file.path
    if is_remote(path) and not path.startswith("<"):
        return None
    _check_is_on_disk(file)
    dataset = _open(path)
    files = _files_of(dataset)
    named = path if is_file_name(path) else _file_in(path, files)
    if named is None and not files:
        return None  # a database or a web service
    if named is None:
        raise ParameterError(
            f"input {file.name!r} consists of local files ({min(files)!r}) that do not stand in its name, so they "
            "cannot be copied to workers on other machines; convert it to one file with gdal_translate"
        )
    # Where a driver does not say, the file itself.
    files_of_all = _with_nested(files | _files_below(named), file.name)
    return _Dataset(path, named, _absolute(named), files_of_all, _needs_files(dataset, files_of_all))


def _check_is_on_disk(file: InputFile) -> None:
    if file.path.startswith("<"):
        raise ParameterError(
            f"input {file.name!r} is a VRT given as text, which workers on other machines cannot use; write it to "
            "a .vrt file beside its sources"
        )
    if file.path.startswith("/vsi"):
        raise ParameterError(
            f"input {file.name!r} is in a file system of GDAL's that workers on other machines do not have; give a "
            "local file, or s3://bucket/key"
        )


def _open(name: str) -> gdal.Dataset:
    try:
        return gdal.OpenEx(name, gdal.OF_RASTER | gdal.OF_VECTOR)
    except RuntimeError as error:
        raise ImageOpenError(f"input {name!r} cannot be opened: {reason(error)}") from error


def _needs_files(dataset: gdal.Dataset, files: Iterable[Path]) -> bool:
    """Say whether GDAL reads a dataset, or a source of a VRT, from files only."""
    drivers = [dataset.GetDriver()]
    if drivers[0].ShortName == "VRT":
        drivers += filter(None, (gdal.IdentifyDriver(str(path)) for path in files))
    # The netCDF driver reads from S3 with the help of userfaultfd, a system call that containers may not make.
    return any(d.GetMetadataItem("DCAP_VIRTUALIO") != "YES" or d.ShortName == "netCDF" for d in drivers)


def _files_of(dataset: gdal.Dataset) -> set[str]:
    """Return the local files that GDAL says a dataset consists of."""
    return set[str]().union(*map(_files_below, dataset.GetFileList() or []))


def _files_below(name: str) -> set[str]:
    """Return a file, or all files in a folder that is a dataset: a Zarr, an ESRI grid."""
    path = Path(name)
    found = path.rglob("*") if path.is_dir() else [path]
    return {str(file) for file in found if file.is_file()}


def _file_in(name: str, files: set[str]) -> str | None:
    """Return what is a file or folder in the name of a subdataset, such as ``NETCDF:"/data/x.nc":band``.

    Parameters
    ----------
    files : what GDAL says that the subdataset consists of, with GDAL's names; may be empty.
    """
    parts = re.findall(r'"([^"]+)"', name) or name.split(":")[1:]
    candidates = [file for file in files if file in name] + [part for part in parts if Path(part).exists()]
    return next(iter(candidates), None)


def _with_nested(names: set[str], called: str) -> frozenset[Path]:
    """Return the files, and those that VRTs among them consist of.

    Raises
    ------
    ParameterError : a VRT names a file in a way that means nothing elsewhere.
    """
    done: set[Path] = set()
    waiting = set(map(_absolute, names))
    while waiting:
        path = waiting.pop()
        done.add(path)
        if _is_vrt(path):
            _check_sources(path, called)
            waiting |= set(map(_absolute, _files_of(_open(str(path))))) - done
    return frozenset(done)


def _absolute(name: str) -> Path:
    return Path(name).absolute()


def _is_vrt(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<VRTDataset")


def _check_sources(vrt: Path, called: str) -> None:
    for element in ET.parse(vrt).iter():  # noqa: S314 - the user's own file, which GDAL reads as well  # nosec B314
        if element.tag not in ("SourceFilename", "SourceDataset"):
            continue
        source = (element.text or "").strip()
        # GDAL itself writes relativeToVRT and relativetoVRT.
        relative = {name.lower(): value for name, value in element.items()}.get("relativetovrt") == "1"
        # A name with ".." would not be the one that the request to S3 was signed for.
        below = relative and ".." not in Path(source).parts
        if not below and not is_remote(source):
            raise ParameterError(
                f"input {called!r} cannot be copied to workers on other machines: {str(vrt)!r} names its source "
                f"{source!r}, which is not a relative name in or below its own folder; move the VRT above its "
                "sources and build it again with gdalbuildvrt and relative names"
            )
