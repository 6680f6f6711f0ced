"""``rios-batch doctor``: all is well on a deployed stack, and each thing that is broken is named with its cure."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.tokens import SSOTokenProvider

from rios_batch import cli
from rios_batch.aws.stackoutputs import read_stack_outputs
from rios_batch.awsbatch import checkups, doctor
from rios_batch.awsbatch.imagepackages import NotedImage
from rios_batch.awsbatch.versions import versions
from rios_batch.contract import StackOutput
from rios_batch.errors import DeniedError
from tests.support import make_raster, ramp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rios_batch.testing.emulation.cloud import Emulator

Patch = pytest.MonkeyPatch
SSO = """
[sso-session institute]
sso_start_url = https://institute.example/start
sso_region = us-west-2
[profile science]
sso_session = institute
sso_account_id = 123456789012
sso_role_name = Scientist
region = us-west-2
"""


@pytest.fixture(autouse=True)
def _a_paid_account_with_a_noted_image(quick_cloud: Emulator, monkeypatch: Patch, tmp_path: Path) -> None:
    """Stand for the services that the emulated AWS lacks, and for a worker of an earlier run."""
    del quick_cloud
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(checkups, "vcpu_quota", lambda *_: 256)
    monkeypatch.setattr(checkups, "account_plan", lambda: "PAID")
    noted = NotedImage({"scikit-learn": "1.3.0", "boto3": boto3.__version__}, versions(), "x86_64")
    monkeypatch.setattr(checkups, "noted_image", lambda *_: noted)


def examined(capsys: pytest.CaptureFixture[str], *arguments: str, status: int) -> dict[str, dict[str, str]]:
    capsys.readouterr()
    assert cli.main(["doctor", "--json", *arguments]) == status
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {finding["name"]: finding for finding in found}


def test_a_deployed_stack_is_well_for_somebody_with_the_submitter_policy(
    quick_cloud: Emulator, monkeypatch: Patch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    script = tmp_path / "my_script.py"
    script.write_text("import json, numpy, boto3\nfrom my_helpers import triple\n")
    (tmp_path / "my_helpers.py").touch()
    scene = make_raster(tmp_path / "scene.tif", ramp(1, 32, 64))
    bucket = quick_cloud.outputs()[StackOutput.BUCKET]
    outputs = ("--output", f"s3://{bucket}/out.tif", "--output", str(tmp_path / "out.tif"))
    before = quick_cloud.inventory()
    quick_cloud.enforce_iam(on=True)
    with quick_cloud.user_with(quick_cloud.outputs()[StackOutput.SUBMITTER_POLICY]) as user:
        for name, value in user.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        quick_cloud.forget_calls()

        found = examined(
            capsys, "--workers", "9", "--script", str(script), "--input", scene, *outputs, status=0
        )

        asked = {call.operation for call in quick_cloud.calls()}
    quick_cloud.enforce_iam(on=False)
    states = {name: finding["state"] for name, finding in found.items()}
    beyond = {name for name in states if name.startswith("machines of") or name == "vCPU quota"}
    assert {states[name] for name in beyond} == {"?"}
    assert {found[name]["text"] for name in beyond} == {"not allowed to look"}
    assert {states[name] for name in states.keys() - beyond} == {"ok"}
    assert found["credentials"]["text"].endswith("user/somebody")
    assert found["workers asked for"]["text"].startswith("9 of at most ")
    assert found[f"input {scene}"]["text"] == "64 columns x 32 rows"
    assert quick_cloud.inventory() == before
    assert not [name for name in asked if name.startswith(("put", "create", "delete", "send", "submit"))]


def test_an_administrator_sees_machines_quota_and_plan(capsys: pytest.CaptureFixture[str]) -> None:
    found = examined(capsys, status=0)

    assert found["machines of the queue of workers"]["text"].startswith("SPOT, up to ")
    assert found["machines of the queue of mains"]["text"].startswith("EC2, up to ")
    assert found["vCPU quota"]["text"] == "256 vCPUs of Spot machines"
    assert found["account's plan"]["text"] == "paid plan"


def test_a_person_reads_a_line_for_each_thing(capsys: pytest.CaptureFixture[str], monkeypatch: Patch) -> None:
    monkeypatch.setattr(checkups, "account_plan", lambda: "FREE")

    assert cli.main(["doctor"]) == 1

    lines = capsys.readouterr().out.splitlines()
    assert "ok   region: us-west-2" in lines
    (bad,) = [line for line in lines if line.startswith("BAD")]
    assert bad.startswith(
        "BAD  account's plan: the account is on the free plan, which starts only small machines; "
    )


# -- what is broken: how to break it, which thing is named, and with which cure


def no_region(patch: Patch, *_: Any) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        patch.delenv(name, raising=False)


def no_credentials(patch: Patch, *_: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.delenv(name)
    patch.setattr(boto3, "DEFAULT_SESSION", None)


def unknown_key(patch: Patch, cloud: Emulator, _: Path) -> None:
    cloud.enforce_iam(on=True)
    patch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    patch.setattr(boto3, "DEFAULT_SESSION", None)


def no_login(patch: Patch, _: Emulator, folder: Path) -> None:
    no_credentials(patch)
    (folder / "config").write_text(SSO)
    patch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    patch.setenv("AWS_PROFILE", "science")
    patch.setattr(SSOTokenProvider, "_SSO_TOKEN_CACHE_DIR", str(folder / "cache"))
    (folder / "cache").mkdir()
    token = {"accessToken": "t", "expiresAt": "2020-01-01T00:00:00Z", "region": "us-west-2"}
    (folder / "cache" / f"{hashlib.sha1(b'institute').hexdigest()}.json").write_text(json.dumps(token))


def wrong_clock(patch: Patch, *_: Any) -> None:
    now = time.time()
    patch.setattr(doctor, "_now", lambda: now + 1000)


def no_stack(patch: Patch, *_: Any) -> None:
    patch.setenv("RIOS_AWSBATCH_STACK", "Elsewhere")


def other_outputs(**changed: Any) -> Callable[..., None]:
    def change(patch: Patch, *_: Any) -> None:
        read = read_stack_outputs
        patch.setattr(
            doctor, "read_stack_outputs", lambda *args, **kwargs: replace(read(*args, **kwargs), **changed)
        )

    return change


@contextlib.contextmanager
def queue_off(_: Patch, cloud: Emulator, __: Path, *, output: StackOutput) -> Iterator[None]:
    batch, name = cloud.client("batch"), cloud.outputs()[output]
    batch.update_job_queue(jobQueue=name, state="DISABLED")
    yield
    batch.update_job_queue(jobQueue=name, state="ENABLED")


@contextlib.contextmanager
def environment_off(_: Patch, cloud: Emulator, __: Path) -> Iterator[None]:
    batch, queue = cloud.client("batch"), cloud.outputs()[StackOutput.WORKER_QUEUE]
    (found,) = batch.describe_job_queues(jobQueues=[queue])["jobQueues"]
    name = found["computeEnvironmentOrder"][0]["computeEnvironment"]
    batch.update_compute_environment(computeEnvironment=name, state="DISABLED")
    yield
    batch.update_compute_environment(computeEnvironment=name, state="ENABLED")


def small_quota(patch: Patch, *_: Any) -> None:
    patch.setattr(checkups, "vcpu_quota", lambda *_: 5)


def large_quota(patch: Patch, *_: Any) -> None:
    patch.setattr(checkups, "vcpu_quota", lambda *_: 99_999)


def other_numpy(patch: Patch, *_: Any) -> None:
    noted = NotedImage({}, {**versions(), "numpy": "0.9.1"}, "x86_64")
    patch.setattr(checkups, "noted_image", lambda *_: noted)


@contextlib.contextmanager
def no_policy(patch: Patch, cloud: Emulator, _: Path) -> Iterator[None]:
    cloud.enforce_iam(on=True)
    with cloud.user_with() as user:
        for name, value in user.items():
            patch.setenv(name, value)
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        yield
    cloud.enforce_iam(on=False)


@contextlib.contextmanager
def no_listing(patch: Patch, cloud: Emulator, _: Path) -> Iterator[None]:
    policy = cloud.outputs()[StackOutput.SUBMITTER_POLICY]
    with cloud.without_action(policy, "s3:ListBucket"), cloud.user_with(policy) as user:
        cloud.enforce_iam(on=True)
        for name, value in user.items():
            patch.setenv(name, value)
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        yield
        cloud.enforce_iam(on=False)


def script_of(text: str) -> Callable[..., None]:
    def write(_: Patch, __: Emulator, folder: Path) -> None:
        (folder / "my_script.py").write_text(text)

    return write


def other_sklearn(patch: Patch, cloud: Emulator, folder: Path) -> None:
    script_of("from sklearn.tree import DecisionTreeClassifier")(patch, cloud, folder)
    patch.setattr(checkups, "packages_of", lambda _: {"scikit-learn": "1.5.2"})
    patch.setattr(importlib.util, "find_spec", lambda _: "there")


def nothing(*_: Any) -> None:
    pass


def off(output: StackOutput) -> Callable[..., contextlib.AbstractContextManager[None]]:
    return lambda *given: queue_off(*given, output=output)


SCRIPT = ("--script", "{folder}/my_script.py")
BROKEN: dict[str, tuple[Any, tuple[str, ...], str, str]] = {
    "no region": (no_region, (), "region", "set RIOS_AWSBATCH_REGION, or AWS_REGION"),
    "no credentials": (no_credentials, (), "credentials", "run `aws configure` or `aws sso login`"),
    "a key that nobody has": (unknown_key, (), "credentials", "renew them"),
    "a login that has expired": (no_login, (), "credentials", "aws sso login"),
    "a wrong clock": (wrong_clock, (), "clock", "s off, set it (`timedatectl"),
    "no stack": (no_stack, (), "stack", "make it with `npx cdk deploy`"),
    "no policy": (no_policy, (), "stack", "attach the policy that the stack's output SubmitterPolicyArn names"),
    "a stack of another version": (other_outputs(version="0.0.1"), (), "stack", "deploy it again from this version"),
    "no bucket": (other_outputs(bucket="no-such"), (), "exchange bucket", "there is no bucket 'no-such'"),
    "no right to list": (no_listing, (), "exchange bucket", "they need s3:ListBucket"),
    "a disabled queue": (off(StackOutput.WORKER_QUEUE), (), "queue of workers", "enable it"),
    "a disabled queue of mains": (off(StackOutput.MAIN_QUEUE), (), "queue of mains", "enable it"),
    "no queue": (other_outputs(worker_queue="gone"), (), "queue of workers", "deploy the stack again"),
    "a disabled environment": (environment_off, (), "machines of the queue of workers", "enable it"),
    "a small quota": (small_quota, ("--workers", "9"), "vCPU quota", "--quota-code L-34B43A08 --desired-value 18"),
    "too many workers": (large_quota, ("--workers", "9999"), "workers asked for", "-c max_vcpus=19998"),
    "another Python": (other_outputs(python="3.9"), (), "workers' Python", "npx cdk deploy -c python=3."),
    "another numpy": (other_numpy, (), "workers' versions", "rios-batch submit script.py"),
    "a module that is nowhere": (
        script_of("import no_such_module"), SCRIPT, "modules of the script", "no_such_module, which this Python",
    ),
    "a module that the image lacks": (
        script_of("import pytest"), SCRIPT, "modules of the script", "npx cdk deploy",
    ),
    "another scikit-learn": (
        other_sklearn, SCRIPT, "modules of the script",
        "main has scikit-learn 1.5.2, workers have 1.3.0; give the workers' image main's versions (`PIP_PACKAGES=",
    ),
    "no script": (nothing, SCRIPT, "modules of the script", "is not a file"),
    "no input": (nothing, ("--input", "{folder}/none.tif"), "input {folder}/none.tif", "does not exist"),
    "no bucket for outputs": (
        nothing, ("--output", "s3://no-such/out.tif"), "output s3://no-such/out.tif", "there is no bucket",
    ),
    "no folder for outputs": (
        nothing, ("--output", "{folder}/none/out.tif"), "output {folder}/none/out.tif", "or write elsewhere",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_named_with_its_cure(
    case: str,
    quick_cloud: Emulator,
    monkeypatch: Patch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    breaks, arguments, name, cure = BROKEN[case]
    with breaks(monkeypatch, quick_cloud, tmp_path) or contextlib.nullcontext():
        found = examined(capsys, *(one.format(folder=tmp_path) for one in arguments), status=1)

    assert [finding["name"] for finding in found.values() if finding["state"] == "BAD"] == [
        name.format(folder=tmp_path)
    ]
    assert cure in found[name.format(folder=tmp_path)]["text"]


def test_what_only_an_administrator_may_see_is_no_fault(
    monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> None:
    def denied(*_: Any) -> Any:
        raise DeniedError("no")

    monkeypatch.setattr(checkups, "vcpu_quota", denied)
    monkeypatch.setattr(checkups, "noted_image", lambda *_: None)

    found = examined(capsys, status=0)

    assert found["vCPU quota"]["text"] == "not allowed to look"
    assert found["workers' versions"]["state"] == "?"
