"""Opening the inputs of a run, each once."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING

from rios_batch.errors import FileOpenError, ImageOpenError
from rios_batch.read.facts import RasterFacts
from rios_batch.read.layers import open_vectors
from rios_batch.read.network import gdal_name, is_remote
from rios_batch.read.opened import map_concurrently

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from osgeo import gdal

    from rios_batch.controls import ApplierControls

log = logging.getLogger("rios_batch")

FileNames = dict[str, str | list[str]]


def as_list(paths: str | list[str]) -> list[str]:
    """Return the files of a symbolic name as a list, however they were given."""
    return paths if isinstance(paths, list) else [paths]


def open_inputs(
    names: FileNames, controls: ApplierControls, described: Callable[[str], RasterFacts]
) -> dict[str, RasterFacts | gdal.Dataset | FileOpenError]:
    """Open every file, and return its facts by the file's name.

    A file of vectors is returned open. The error of a file that the script wants as nodata in that case is returned in
    the file's place.

    Parameters
    ----------
    names : file names by symbolic name.
    described : opens a raster and returns its facts.

    Raises
    ------
    FileOpenError : a file cannot be opened, or none of a symbolic name can be, so that nothing says what they are like.
    """
    paths = dict.fromkeys(path for given in names.values() for path in as_list(given))
    open_one = functools.partial(_opened, described=described, skippable=_skippable(names, controls))
    remote = [path for path in paths if is_remote(gdal_name(path))]
    opened = dict(zip(remote, map_concurrently(open_one, remote), strict=True)) if remote else {}
    opened |= {path: open_one(path) for path in paths if path not in opened}
    for given in names.values():
        found = [opened[path] for path in as_list(given)]
        errors = [error for error in found if isinstance(error, FileOpenError)]
        if errors and not any(isinstance(facts, RasterFacts) for facts in found):
            raise errors[0]
    return opened


def _skippable(names: FileNames, controls: ApplierControls) -> set[str]:
    """Return the files that may be missing or damaged, for all symbolic names that they have."""
    paths: dict[bool, set[str]] = {False: set(), True: set()}
    for name, given in names.items():
        may_be_skipped = controls.getOptionForImagename("inputErrors", name) == "nodata"
        paths[may_be_skipped].update(as_list(given))
    return paths[True] - paths[False]


def _opened(
    path: str, described: Callable[[str], RasterFacts], skippable: Container[str]
) -> RasterFacts | gdal.Dataset | FileOpenError:
    """Return the facts of a raster; or a file of vectors, open, since what is asked of it depends on the grid.

    Parameters
    ----------
    skippable : files whose errors are returned in place of being raised.
    """
    try:
        try:
            return described(path)
        except ImageOpenError:
            dataset = open_vectors(gdal_name(path))
            if dataset is None:
                raise
            return dataset
    except FileOpenError as error:
        if path not in skippable:
            raise
        log.warning("%s; it is taken for nodata", error)
        return error
