"""What the steps share: the account, a bucket, commands that are recorded, and what is to be removed at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from rios_batch.contract import ENV_STACK, ENV_STACK_REGION
from tests.smoke.remains import outputs_of
from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.smoke.recording import Recorder

STACK = "RiosBatchSmoke"
SCRIPT = Path(__file__).with_name("triple.py")
LIMIT_S = 1500.0
"""Seconds for a run: a machine comes in minutes, or there is none."""


class SmokeError(Exception):
    """Something did not happen as it should."""


@dataclass
class Session:
    """A smoke test under way.

    Attributes
    ----------
    folder : for scenes, outputs, the changed project and recordings.
    region, account : where the stack goes.
    suffix : ends the names of bucket and user, so that nobody else has them.
    recorder : keeps AWS's replies.
    names : names and ids of all that the stack consisted of at any time.
    left : what there is now, each with the command that removes it.
    """

    folder: Path
    region: str
    account: str
    suffix: str
    recorder: Recorder
    names: set[str] = field(default_factory=set)
    left: dict[str, str] = field(default_factory=dict)
    user: dict[str, str] = field(default_factory=dict)

    @property
    def bucket(self) -> str:
        """Name of the bucket for scenes and outputs."""
        return f"rios-batch-smoke-{self.suffix}"

    @property
    def user_name(self) -> str:
        """Name of the user who holds only the submitter policy."""
        return f"rios-batch-smoke-{self.suffix}"

    def client(self, service: str) -> Any:
        """Give a boto3 client."""
        make: Callable[..., Any] = boto3.client
        return make(service, region_name=self.region)

    def outputs(self) -> dict[str, str]:
        """Return the stack's outputs."""
        return outputs_of(self.client("cloudformation"), STACK)

    def environment(self, user: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the variables of a command, as oneself or as somebody with other keys."""
        mine = dict(os.environ)
        if user:
            for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN"):
                mine.pop(name, None)
        there = {"AWS_REGION": self.region, "AWS_DEFAULT_REGION": self.region}
        return {**mine, **there, ENV_STACK: STACK, ENV_STACK_REGION: self.region, **(user or {})}

    def cdk(self, *arguments: str, project: Path = ROOT) -> None:
        """Run the CDK's command line with the smoke test's settings; what it prints is shown.

        Raises
        ------
        SmokeError : the command failed.
        """
        settings = {
            "stack_name": STACK, "max_vcpus": 8, "main_max_vcpus": 4,
            "input_buckets": self.bucket, "output_buckets": self.bucket,
        }  # fmt: skip
        context = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        out = () if "--app" in arguments else ("--output", str(self.folder / "cdk.out"))
        command = [str(ROOT / "node_modules/.bin/cdk"), *arguments, *context, *out]
        # The app and its libraries are those of this Python, in the changed project too.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**self.environment(), "PATH": path}
        done = subprocess.run(command, cwd=project, env=environment, stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise SmokeError(
                f"`cdk {arguments[0]}` failed with status {done.returncode}; its words are above"
            )

    def start(
        self,
        program: str | Path,
        *arguments: str,
        project: Path = ROOT,
        user: Mapping[str, str] | None = None,
        **variables: str,
    ) -> subprocess.Popen[str]:
        """Start a script or package whose replies from AWS are recorded."""
        assert self.recorder.path is not None
        record = (str(self.recorder.path), self.account)
        command = [sys.executable, "-m", "tests.smoke.recording", *record, str(program), *arguments]
        return subprocess.Popen(
            command,
            cwd=project,
            env={**self.environment(user), "PYTHONPATH": str(project), **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, program: str | Path, *arguments: str, status: int = 0, **more: Any) -> str:
        """Run one to its end, and return what it printed.

        Raises
        ------
        SmokeError : it ended with another status than `status`, or did not end in time.
        """
        return finish(self.start(program, *arguments, **more), status)


def finish(process: subprocess.Popen[str], status: int) -> str:
    """Wait for a command and return what it printed; after `LIMIT_S` it gets the Ctrl-C that ends its jobs.

    Raises
    ------
    SmokeError : it ended with another status than `status`, or did not end in time.
    """
    try:
        printed, _ = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate()
        raise SmokeError(f"not finished after {LIMIT_S:.0f} s, so interrupted:\n{printed}") from None
    if process.returncode != status:
        raise SmokeError(f"ended with status {process.returncode}, not {status}:\n{printed}")
    return printed


def wait_for(what: str, happened: Callable[[], Any], *, process: subprocess.Popen[str] | None = None) -> Any:
    """Ask every second until it happened, and return the answer.

    Raises
    ------
    SmokeError : it did not happen in `LIMIT_S`, or the process ended before.
    """
    end = time.monotonic() + LIMIT_S
    while not (answer := happened()):
        if process is not None and process.poll() is not None:
            raise SmokeError(f"ended before {what}:\n{process.communicate()[0]}")
        if time.monotonic() > end:
            raise SmokeError(f"{LIMIT_S:.0f} s went by without {what}")
        time.sleep(1)
    return answer
