"""The steps of the smoke test, in order. A step raises when something is not as it should be."""

from __future__ import annotations

import re
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from osgeo import gdal

from rios_batch.contract import RUNS_PREFIX, StackOutput
from tests.smoke.remains import names_of, remains
from tests.smoke.session import SCRIPT, STACK, SmokeError, wait_for
from tests.support import ROOT, make_raster, ramp, read_raster

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.smoke.session import Session

ROWS, COLS = 1024, 1536
TILES_BEFORE_CTRL_C = 2
_NOT_COPIED = (
    ".git",
    ".venv*",
    "node_modules",
    "cdk.out",
    ".demo",
    ".bench",
    ".smoke*",
    "__pycache__",
    ".*_cache",
)


def who_am_i(smoke: Session) -> None:
    """Say who and where, and have no stack of this name."""
    print(
        f"account {smoke.account}, region {smoke.region}, stack {STACK}, recordings without the account's id"
    )
    stacks = smoke.client("cloudformation").describe_stacks()["Stacks"]
    if STACK in [stack["StackName"] for stack in stacks]:
        raise SmokeError(
            f"there is a stack {STACK} already; `npx cdk destroy -c stack_name={STACK}` removes it"
        )


def bootstrap(smoke: Session) -> None:
    """``cdk bootstrap``, which changes nothing where it was done before."""
    smoke.cdk("bootstrap", f"aws://{smoke.account}/{smoke.region}")


def make_scene(smoke: Session) -> None:
    """Put a VRT of two files into a bucket of the smoke test's own."""
    s3, pixels = smoke.client("s3"), ramp(1, ROWS, COLS)
    where = {"CreateBucketConfiguration": {"LocationConstraint": smoke.region}}
    s3.create_bucket(Bucket=smoke.bucket, **({} if smoke.region == "us-east-1" else where))
    smoke.left[f"bucket {smoke.bucket}"] = f"aws s3 rb --force s3://{smoke.bucket}"
    whole = make_raster(smoke.folder / "scene.tif", pixels)
    for name, first in (("left", 0), ("right", COLS // 2)):
        gdal.Translate(str(smoke.folder / f"{name}.tif"), whole, srcWin=[first, 0, COLS // 2, ROWS])
    parts = [str(smoke.folder / f"{name}.tif") for name in ("left", "right")]
    gdal.BuildVRT(str(smoke.folder / "scene.vrt"), parts).FlushCache()
    for name in ("left.tif", "right.tif", "scene.vrt"):
        s3.upload_file(str(smoke.folder / name), smoke.bucket, name)


def deploy(smoke: Session) -> None:
    """``cdk deploy`` with 8 vCPUs: the image is built and pushed."""
    smoke.left[f"stack {STACK}"] = f"npx cdk destroy -c stack_name={STACK}"
    smoke.cdk("deploy", "--require-approval", "never")
    _look_at_stack(smoke)


def run(smoke: Session) -> None:
    """Four workers read the VRT from S3 and do it all; the output in S3 is what numpy makes."""
    said = smoke.run(SCRIPT, *_scene_and(smoke, "run.tif"), "--coordinate-only")
    print(said, end="")
    if "(job " not in said:
        raise SmokeError("no tile was computed on AWS Batch")
    _compare(smoke, "run.tif")


def submit(smoke: Session) -> None:
    """``rios-batch submit``: main is a job, too."""
    said = smoke.run("rios_batch", "submit", str(SCRIPT), *_scene_and(smoke, "submit.tif"))
    print(said, end="")
    _compare(smoke, "submit.tif")


def interrupt_and_resume(smoke: Session) -> None:
    """Ctrl-C after some tiles, then the rest."""
    command = (SCRIPT, *_scene_and(smoke, "resumed.tif"), "--sleep", "3")
    first = smoke.start(*command)
    s3, bucket = smoke.client("s3"), smoke.outputs()[StackOutput.BUCKET]

    def finished() -> bool:
        keys = s3.list_objects_v2(Bucket=bucket, Prefix=RUNS_PREFIX).get("Contents", [])
        return sum("/tiles/" in key["Key"] for key in keys) >= TILES_BEFORE_CTRL_C

    wait_for("two finished tiles", finished, process=first)
    first.send_signal(signal.SIGINT)
    printed, _ = first.communicate()
    resume = re.search(r"RIOS_AWSBATCH_RESUME=(\S+)", printed)
    if resume is None or not first.returncode:
        raise SmokeError(f"Ctrl-C did not end the run with how to go on:\n{printed}")
    print(f"interrupted; going on with {resume[1]}")
    print(smoke.run(*command, RIOS_AWSBATCH_RESUME=resume[1]), end="")
    _compare(smoke, "resumed.tif")


def terminate_as_submitter(smoke: Session) -> None:
    """A user who holds only the submitter policy submits a script and ends it."""
    iam, arn = smoke.client("iam"), smoke.outputs()[StackOutput.SUBMITTER_POLICY]
    name = smoke.user_name
    iam.create_user(UserName=name)
    smoke.left[f"user {name}"] = (
        f"aws iam detach-user-policy --user-name {name} --policy-arn {arn}; "
        f"aws iam list-access-keys --user-name {name}, aws iam delete-access-key for each; "
        f"aws iam delete-user --user-name {name}"
    )
    iam.attach_user_policy(UserName=name, PolicyArn=arn)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    user = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    script = smoke.folder / "sleeper.py"
    script.write_text("import time\ntime.sleep(1800)\n")

    def submitted() -> str:
        try:
            return smoke.run("rios_batch", "submit", "--detach", str(script), user=user).split()[-1]
        except SmokeError as error:
            # A new key and a new policy are known everywhere after some seconds.
            print(f"not yet: {str(error).splitlines()[-1]}")
            return ""

    job = _soon(submitted)
    smoke.run("rios_batch", "terminate", job, user=user)
    _wait_until(smoke, job, "FAILED")
    print(f"job {job} was ended by a user with no other policy")


def redeploy(smoke: Session) -> None:
    """Deploy changed code: its main is served by workers of the new code, and the old code's main is refused."""
    changed = smoke.folder / "changed"
    shutil.copytree(ROOT, changed, ignore=shutil.ignore_patterns(*_NOT_COPIED))
    with (changed / "rios_batch" / "worker.py").open("a") as file:
        file.write("\n# changed by the smoke test\n")
    smoke.cdk("deploy", "--require-approval", "never", project=changed)
    _look_at_stack(smoke)
    again = (*_scene_and(smoke, "changed.tif"), "--coordinate-only")
    script = changed / SCRIPT.relative_to(ROOT)
    print(smoke.run(script, *again, project=changed), end="")
    _compare(smoke, "changed.tif")
    refused = smoke.run(SCRIPT, *_scene_and(smoke, "stale.tif"), "--coordinate-only", status=1)
    if "VersionMismatchError: main has rios_batch" not in refused:
        raise SmokeError(f"the old code's main ended without naming the versions:\n{refused}")


def destroy_in_use(smoke: Session) -> None:
    """``cdk destroy`` while a worker runs and the user still holds the policy."""
    outputs = smoke.outputs()
    job = smoke.client("batch").submit_job(
        jobName="smoke-sleeper",
        jobQueue=outputs[StackOutput.WORKER_QUEUE],
        jobDefinition=outputs[StackOutput.WORKER_DEFINITION],
        containerOverrides={"command": ["sleep", "1800"]},
    )["jobId"]
    _wait_until(smoke, job, "RUNNING")
    stack_id = smoke.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]["StackId"]
    # From what the last deploy synthesized.
    smoke.cdk("destroy", "--force", "--app", str(smoke.folder / "cdk.out"))
    smoke.client("cloudformation").describe_stacks(StackName=stack_id)
    _read_events(smoke, stack_id)
    del smoke.left[f"stack {STACK}"]


def leave(smoke: Session) -> None:
    """Remove the smoke test's own user and bucket; then nothing is left but what bootstrap made."""
    iam, name = smoke.client("iam"), smoke.user_name
    if iam.list_attached_user_policies(UserName=name)["AttachedPolicies"]:
        raise SmokeError(f"user {name} still has a policy of the stack")
    for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName=name)
    del smoke.left[f"user {name}"]
    s3 = smoke.client("s3")
    for item in s3.list_objects_v2(Bucket=smoke.bucket).get("Contents", []):
        s3.delete_object(Bucket=smoke.bucket, Key=item["Key"])
    s3.delete_bucket(Bucket=smoke.bucket)
    del smoke.left[f"bucket {smoke.bucket}"]
    if left := remains(smoke.client, {*smoke.names, name, smoke.bucket}):
        raise SmokeError("left behind:\n" + "\n".join(left))
    print("nothing is left but what bootstrap made (stack CDKToolkit)")


STEPS: tuple[Callable[[Session], None], ...] = (
    who_am_i,
    bootstrap,
    make_scene,
    deploy,
    run,
    submit,
    interrupt_and_resume,
    terminate_as_submitter,
    redeploy,
    destroy_in_use,
    leave,
)


def _scene_and(smoke: Session, out: str) -> tuple[str, str]:
    return f"s3://{smoke.bucket}/scene.vrt", f"s3://{smoke.bucket}/{out}"


def _compare(smoke: Session, key: str) -> None:
    path: Path = smoke.folder / key
    smoke.client("s3").download_file(smoke.bucket, key, str(path))
    if not np.array_equal(read_raster(path), ramp(1, ROWS, COLS) * 3 + 1):
        raise SmokeError(f"{path} is not what numpy makes of the scene")
    print(f"{key} is what numpy makes of the scene")


def _look_at_stack(smoke: Session) -> None:
    formation = smoke.client("cloudformation")
    smoke.names |= names_of(formation, STACK)
    _read_events(smoke, STACK)


def _read_events(smoke: Session, stack: str) -> None:
    """Have the recorder keep how it went."""
    formation: Any = smoke.client("cloudformation")
    for _ in formation.get_paginator("describe_stack_events").paginate(StackName=stack):
        pass


def _wait_until(smoke: Session, job: str, status: str) -> None:
    batch = smoke.client("batch")

    def reached() -> bool:
        found = batch.describe_jobs(jobs=[job])["jobs"]
        return bool(found) and found[0]["status"] == status

    wait_for(f"job {job} {status}", reached)


def _soon(attempt: Callable[[], str], *, tries: int = 12) -> str:
    for _ in range(tries):
        if result := attempt():
            return result
        time.sleep(5)
    raise SmokeError("the new user was still refused a minute later")
