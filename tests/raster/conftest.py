"""GDAL's exceptions are on in every test of this folder, as they are inside ``apply``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from osgeo import gdal

from tests.s3server import _running_s3, bucket, s3_server

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["_running_s3", "bucket", "s3_server"]


@pytest.fixture(autouse=True)
def _gdal_exceptions() -> Iterator[None]:
    was_on = gdal.GetUseExceptions()
    gdal.UseExceptions()
    yield
    if not was_on:
        gdal.DontUseExceptions()
