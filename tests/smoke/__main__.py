"""``python -m tests.smoke [--yes] [FOLDER]``: deploy, run, change and destroy on an AWS account."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError
from osgeo import gdal

from tests.smoke.recording import Recorder
from tests.smoke.session import Session
from tests.smoke.steps import STEPS

ENV_YES = "RIOS_BATCH_SMOKE_YES"
QUESTION = (
    "This deploys a stack into your AWS account, runs jobs on it and destroys it: about an hour, less than 2 USD.\n"
    "Go on? [y/N] "
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make smoke-aws", description="Try it all on an AWS account.")
    parser.add_argument("--yes", action="store_true", help=f"do not ask; as {ENV_YES}=1 does")
    parser.add_argument(
        "folder", nargs="?", type=Path, help="a new one, for recordings and outputs; default: below .smoke"
    )
    arguments = parser.parse_args()
    sure = arguments.yes or os.environ.get(ENV_YES) == "1"
    if not sure and input(QUESTION).strip().lower() not in ("y", "yes"):
        print("Nothing was done.")
        return 1
    gdal.UseExceptions()
    folder = arguments.folder or Path(".smoke", time.strftime("%Y%m%dT%H%M%S"))
    try:
        smoke = open_session(folder.resolve())
    except (BotoCoreError, ClientError) as error:
        print(f"smoke-aws: no AWS account, or no region: {error}")
        return 1
    return go_through(smoke)


def open_session(folder: Path) -> Session:
    """Find out who calls and where, and make the folder."""
    # Not boto3's own session: that one is to be made after the recorder is there.
    session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
    if session.region_name is None:
        raise NoRegionError
    account = session.client("sts").get_caller_identity()["Account"]
    recorder = Recorder(account)
    recorder.install()
    (folder / "recordings").mkdir(parents=True)
    return Session(folder, session.region_name, account, secrets.token_hex(4), recorder)


def go_through(smoke: Session) -> int:
    """Take the steps, until one fails; return the exit status."""
    for number, step in enumerate(STEPS, 1):
        name, began = step.__name__, time.monotonic()
        smoke.recorder.path = smoke.folder / "recordings" / f"{number:02d}-{name}.jsonl"
        print(f"\n{number}/{len(STEPS)} {name}: {step.__doc__}", flush=True)
        try:
            step(smoke)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, what is left must be said
            print(f"{name}: FAILED after {time.monotonic() - began:.0f} s: {type(error).__name__}: {error}")
            say_what_is_left(smoke)
            return 1
        print(f"{name}: passed in {time.monotonic() - began:.0f} s", flush=True)
    print(
        f"\nAll steps passed. AWS's replies, without the account's id, are in {smoke.folder / 'recordings'}."
    )
    return 0


def say_what_is_left(smoke: Session) -> None:
    """Name everything that the steps made and have not removed, with the command that removes it."""
    if not smoke.left:
        print("The smoke test left nothing but what bootstrap made.")
    for thing, command in smoke.left.items():
        print(f"LEFT: {thing}\n    {command}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
