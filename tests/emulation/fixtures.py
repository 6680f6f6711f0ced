"""pytest fixtures: the emulated AWS with the default stack deployed, shared by all tests of a session.

A plug-in that tests/conftest.py names. Tests that use ``cloud`` may open sockets to this machine,
all others stay without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rios_batch.testing.emulation import template
from rios_batch.testing.emulation.cloud import Emulator
from rios_batch.testing.emulation.leavings import clean_up, leftovers, wait_for_jobs

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "shared_cloud" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.allow_hosts(["127.0.0.1"]))


@pytest.fixture(scope="session")
def default_template() -> dict[str, Any]:
    return template.default_template()


@pytest.fixture(scope="session")
def shared_cloud(default_template: dict[str, Any]) -> Iterator[Emulator]:
    with Emulator.start(grace_seconds=2, warm=True) as cloud:
        cloud.bootstrap()
        cloud.deploy(default_template, image_tags=template.pushed_tags(default_template))
        yield cloud


@pytest.fixture
def cloud(shared_cloud: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """The shared server, seen through the environment, without faults; fails a test that leaves things behind.

    A test that does so on purpose calls `clean_up` itself.
    """
    for name, value in shared_cloud.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    shared_cloud.forget_calls()
    yield shared_cloud
    shared_cloud.no_faults()
    wait_for_jobs(shared_cloud)
    left = leftovers(shared_cloud)
    clean_up(shared_cloud)
    assert left == []


@pytest.fixture
def quick_cloud(cloud: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """Give the emulated AWS, and a main that looks often and has leases as short as they may be."""
    from rios_batch.awsbatch import lostmessages, polling, starting  # noqa: PLC0415 - loads GDAL

    monkeypatch.setattr(polling, "POLL_SECONDS", 0.2)
    monkeypatch.setattr(lostmessages, "STALL_SECONDS", 1.5)
    monkeypatch.setattr(starting, "LEASE_SECONDS", 10)
    return cloud
