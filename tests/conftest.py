"""What holds for every test: no cloud account, no settings of the person who runs them, quiet GDAL."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["tests.emulation.fixtures", "tests.s3server"]

# Random, so that every run looks at new cases, and with a blob to paste into @reproduce_failure.
# No deadline: the machine may be busy with something else.
settings.register_profile("suite", max_examples=60, deadline=None, print_blob=True)
settings.load_profile("suite")

_MOST_PROCESSES = 8  # each may start an emulated AWS and load the CDK


def pytest_xdist_auto_num_workers() -> int:
    """Give ``-n auto`` the cores that this process may use; on a single one, pytest runs the tests itself."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return 0 if cores == 1 else min(cores, _MOST_PROCESSES)


FAKE_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",  # the value is a word, so that no scanner takes it for a key
    "AWS_SESSION_TOKEN": "testing",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give fake AWS credentials, and none of the settings that rios_batch reads from the environment."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "RIOS_"))]:
        monkeypatch.delenv(name)
    for name, value in FAKE_CREDENTIALS.items():
        monkeypatch.setenv(name, value)


# Rooms that work inside ``apply``, which has GDAL raise exceptions.
_INSIDE_APPLY = {"plan", "read", "encode", "assemble"}


@pytest.fixture(autouse=True)
def _gdal_as_in_apply(request: pytest.FixtureRequest) -> None:
    if request.path.parent.name in _INSIDE_APPLY:
        request.getfixturevalue("gdal_raises")


@pytest.fixture
def gdal_raises() -> Iterator[None]:
    """Have GDAL raise exceptions."""
    from osgeo import gdal  # noqa: PLC0415 - tests of pure modules must not load GDAL

    was_on = gdal.GetUseExceptions()
    gdal.UseExceptions()
    yield
    if not was_on:
        gdal.DontUseExceptions()


@pytest.fixture
def quiet_gdal() -> Iterator[None]:
    """Keep GDAL's messages off standard error, for tests that provoke errors."""
    from osgeo import gdal  # noqa: PLC0415 - tests of pure modules must not load GDAL

    gdal.PushErrorHandler("CPLQuietErrorHandler")
    yield
    gdal.PopErrorHandler()
