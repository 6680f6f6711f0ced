"""Looks whether runs on AWS Batch can work from here, one thing after the other; nothing is changed anywhere."""

from __future__ import annotations

import functools
import os
import platform
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from rios_batch.aws.clients import make_client
from rios_batch.aws.cloud import Cloud
from rios_batch.aws.credentials import configured_region, special_keys
from rios_batch.aws.faults import explained
from rios_batch.aws.stackoutputs import read_stack_outputs
from rios_batch.awsbatch.checkups import checkups
from rios_batch.awsbatch.findings import BadError, State, look
from rios_batch.awsbatch.versions import versions
from rios_batch.contract import DEFAULT_STACK_NAME, ENV_STACK, ENV_STACK_REGION
from rios_batch.errors import AWSError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rios_batch.awsbatch.findings import Finding, Question

_SKEW_SECONDS = 240.0  # AWS refuses requests from five minutes on
_SKEWED = ("Signature expired", "Signature not yet current", "RequestTimeTooSkewed")


def examine(question: Question) -> Iterator[Finding]:
    """Yield what is found, in the order in which things depend on each other.

    What cannot be looked at because something before is bad is left out.
    """
    yield look("this machine", _this_machine)
    region = look("region", _region)
    yield region
    if region.state is State.BAD:
        return
    identity = look("credentials", functools.partial(_identity, region.text))
    yield identity
    if identity.state is State.BAD:
        return
    yield look("clock", functools.partial(_clock, region.text))
    yield look("keys for GDAL", _keys_for_gdal)
    stack_name = os.environ.get(ENV_STACK) or DEFAULT_STACK_NAME
    found: list[Cloud] = []
    yield look("stack", lambda: _stack(stack_name, region.text, found))
    if found:
        yield from checkups(found[0], question)


def _this_machine() -> str:
    here = versions()
    return f"Python {here['Python']}, numpy {here['numpy']}, GDAL {here['GDAL']}, {platform.machine()}"


def _region() -> str:
    region = os.environ.get(ENV_STACK_REGION) or configured_region()
    if not region:
        raise BadError(f"no AWS region is set; set {ENV_STACK_REGION}, or AWS_REGION, or run `aws configure`")
    return region


def _identity(region: str) -> str:
    client = make_client("sts", region=region)
    try:
        with explained("AWS"):
            return str(client.get_caller_identity()["Arn"])
    except AWSError as error:
        if any(text in str(error) for text in _SKEWED):
            raise BadError(f"this machine's clock is wrong, {_SET_CLOCK} ({error})") from error
        raise
    finally:
        client.close()


_SET_CLOCK = "set it (`timedatectl set-ntp true`)"


def _clock(region: str) -> str:
    client = make_client("sts", region=region)
    with explained("AWS"):
        headers = client.get_caller_identity()["ResponseMetadata"]["HTTPHeaders"]
    client.close()
    off_s = _now() - parsedate_to_datetime(headers["date"]).timestamp()
    if abs(off_s) > _SKEW_SECONDS:
        raise BadError(f"this machine's clock is {off_s:+.0f} s off, {_SET_CLOCK}")
    return "agrees with AWS's"


_now = time.time


def _keys_for_gdal() -> str:
    if special_keys("inputs in S3") is None:
        return "GDAL finds the same credentials"
    return "GDAL may not know this profile, so it is given boto3's keys and their renewals"


def _stack(name: str, region: str, found: list[Cloud]) -> str:
    client = make_client("cloudformation", region=region)
    with explained(f"stack {name}"):
        outputs = read_stack_outputs(client, stack_name=name)
    client.close()
    cloud = Cloud.of_stack(outputs, region)
    found.append(cloud)
    cloud.check_version()
    return (
        f"{name}, rios_batch {outputs.version}, up to {outputs.max_vcpus // outputs.worker_vcpus} workers of "
        f"{outputs.worker_vcpus} vCPUs"
    )
