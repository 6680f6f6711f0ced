"""What the end-to-end tests share: the emulated AWS, the CDK's real command line, and a person's commands."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rios_batch.testing.emulation.cloud import Emulator
from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

DOCKER = str(Path(__file__).with_name("cdk_docker.py"))
_LAST_LINES = 40


@dataclass(frozen=True)
class Commands:
    """Runs commands in the folder of the project, with the emulation as their AWS."""

    cloud: Emulator

    def run(
        self, *command: str, environment: Mapping[str, str] | None = None, folder: Path = ROOT
    ) -> subprocess.CompletedProcess[str]:
        """Run a command; the exit status is not checked. Docker warns on standard error, so the two stay apart."""
        return subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **self.cloud.environment(), **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def cdk(self, *arguments: str, settings: Mapping[str, str] | None = None) -> str:
        """Run the CDK's command line and return what it prints."""
        done = self.run(
            *("npx", "cdk", *arguments),
            environment={
                "CDK_DOCKER": DOCKER,
                # CloudFormation's own way to the template that the CDK uploads.
                "AWS_ENDPOINT_URL_S3_FOR_CLOUDFORMATION": f"https://s3.{self.cloud.region}.amazonaws.com",
                "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "20",
                "NODE_NO_WARNINGS": "1",
                **(settings or {}),
            },
        )
        assert done.returncode == 0, said(done)
        return done.stdout


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Return all that a command printed: standard output, then standard error."""
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def cloud(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    with Emulator.start(runner="container") as cloud:
        request.config.stash[_CLOUD] = cloud
        yield cloud
        del request.config.stash[_CLOUD]


@pytest.fixture(scope="session")
def commands(cloud: Emulator) -> Commands:
    return Commands(cloud)


_CLOUD = pytest.StashKey[Emulator]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the jobs and the end of what they printed beside a failure."""
    report = yield
    cloud = item.config.stash.get(_CLOUD, None)
    if report.failed and call.when == "call" and cloud is not None:
        report.sections.append(("AWS Batch", "\n".join(_what_jobs_did(cloud))))
    return report


def _what_jobs_did(cloud: Emulator) -> Iterator[str]:
    for job in cloud.jobs():
        yield f"{job.status:<10}{job.job_id} {job.name} {job.status_reason}"
    logs: Any = cloud.client("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        for stream in logs.describe_log_streams(logGroupName=group["logGroupName"])["logStreams"]:
            name = stream["logStreamName"]
            yield f"--- {name}"
            events = logs.get_log_events(logGroupName=group["logGroupName"], logStreamName=name)["events"]
            yield from (event["message"] for event in events[-_LAST_LINES:])
