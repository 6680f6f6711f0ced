"""The end-to-end tests read what commands print; what Docker says of the host is no part of that. Needs no Docker."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from tests.e2e.conftest import Commands, said

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from rios_batch.testing.emulation.cloud import Emulator


class NoCloud:
    def environment(self) -> dict[str, str]:
        return {}


def test_a_warning_of_docker_is_no_part_of_what_a_container_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho 'WARNING: IPv4 forwarding is disabled.' >&2\necho Python 3.11.2\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    commands = Commands(cast("Emulator", NoCloud()))

    done = commands.run("docker", "run", "--rm", "image", "python3", "--version")

    assert done.stdout == "Python 3.11.2\n"
    assert "WARNING: IPv4 forwarding" in said(done)  # a failing command still shows it
