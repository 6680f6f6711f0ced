"""What the doctor looks at once the stack is found."""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rios_batch.aws.account import (
    ON_DEMAND_QUOTA,
    SPOT_QUOTA,
    account_plan,
    environments_of,
    vcpu_quota,
)
from rios_batch.aws.objects import Bucket
from rios_batch.awsbatch.findings import BadError, UnknownError, look, look_beyond_policy
from rios_batch.awsbatch.imagepackages import noted_image
from rios_batch.awsbatch.versions import check_python, mismatch, versions
from rios_batch.jobmanagers.modules import differing_packages, packages_of
from rios_batch.model.s3names import SCHEME, S3Name
from rios_batch.read.facts import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rios_batch.aws.cloud import Cloud
    from rios_batch.awsbatch.findings import Finding, Question

_NOT_NOTED = "nothing is known of the image's packages before a first run"


def checkups(cloud: Cloud, question: Question) -> Iterator[Finding]:
    """Yield what is found of a stack, the account, the image, and what a script needs.

    Parameters
    ----------
    cloud : the stack, of which nothing has been checked.
    question : what somebody is going to do.
    """
    stack = cloud.stack_outputs
    yield look("workers asked for", partial(_workers, cloud, question))
    yield look("exchange bucket", partial(_exchange_bucket, cloud))
    for name, queue in (("queue of workers", stack.worker_queue), ("queue of mains", stack.main_queue)):
        yield look(name, partial(_queue, cloud, queue))
        yield look_beyond_policy(f"machines of the {name}", partial(_environments, cloud, queue))
    yield look_beyond_policy("vCPU quota", partial(_quota, cloud, question))
    yield look_beyond_policy("account's plan", _plan)
    yield look("workers' Python", partial(_python, cloud))
    yield look("workers' versions", partial(_versions, cloud))
    if question.script is not None:
        yield look("modules of the script", partial(_modules, cloud, question.script))
    for name in question.inputs:
        yield look(f"input {name}", partial(_input, name))
    for name in question.outputs:
        yield look(f"output {name}", partial(_output, name))


def _workers(cloud: Cloud, question: Question) -> str:
    stack = cloud.stack_outputs
    most = stack.max_vcpus // stack.worker_vcpus
    wanted = most if question.workers is None else question.workers
    if wanted > most:
        raise BadError(
            f"{wanted} workers of {stack.worker_vcpus} vCPUs are asked for, the stack may have {stack.max_vcpus} "
            f"vCPUs; ask for at most {most}, or deploy with `-c max_vcpus={wanted * stack.worker_vcpus}`"
        )
    return f"{wanted} of at most {most}"


def _exchange_bucket(cloud: Cloud) -> str:
    cloud.bucket.check()
    next(cloud.bucket.list_objects("runs/"), None)
    return f"{cloud.bucket.name} can be read"


def _queue(cloud: Cloud, queue: str) -> str:
    cloud.check_queue(queue)
    return f"{queue} takes jobs"


def _environments(cloud: Cloud, queue: str) -> str:
    said = []
    for found in environments_of(cloud.batch, queue):
        if (found.state, found.status) not in {("ENABLED", "VALID"), ("ENABLED", "UPDATING")}:
            reason = f" ({found.reason})" if found.reason else ""
            raise BadError(
                f"compute environment {found.name} starts no machines, it is {found.state} and {found.status}{reason}; "
                "enable it, or deploy the stack again"
            )
        said.append(f"{found.kind}, up to {found.max_vcpus} vCPUs in {found.num_subnets} zones")
    return "; ".join(said)


def _quota(cloud: Cloud, question: Question) -> str:
    stack = cloud.stack_outputs
    kinds = {found.kind for found in environments_of(cloud.batch, stack.worker_queue)}
    if any("FARGATE" in kind for kind in kinds):
        return "Fargate has quotas of its own"
    code, kind = (SPOT_QUOTA, "Spot") if "SPOT" in kinds else (ON_DEMAND_QUOTA, "on-demand")
    quota = vcpu_quota(cloud.region, code)
    wanted = stack.max_vcpus if question.workers is None else question.workers * stack.worker_vcpus
    if quota < wanted:
        raise BadError(
            f"the account may use {quota} vCPUs of {kind} machines at a time, {wanted} are wanted; ask for more: `aws "
            f"service-quotas request-service-quota-increase --service-code ec2 --quota-code {code} --desired-value "
            f"{wanted}`"
        )
    return f"{quota} vCPUs of {kind} machines"


def _plan() -> str:
    if account_plan() == "FREE":
        raise BadError(
            "the account is on the free plan, which starts only small machines; change to the paid plan (console, "
            "Billing)"
        )
    return "paid plan"


def _python(cloud: Cloud) -> str:
    stack = cloud.stack_outputs
    check_python(stack.stack_name, stack.python)
    if stack.python == "unknown":
        raise UnknownError("nobody has said which Python the image has (setting `python`)")
    return f"Python {stack.python}, as here"


def _versions(cloud: Cloud) -> str:
    noted = noted_image(cloud.bucket, cloud.stack_outputs.worker_image)
    if noted is None:
        raise UnknownError(_NOT_NOTED)
    if problem := mismatch(versions(), noted.versions):
        raise BadError(problem)
    return f"numpy {noted.versions['numpy']}, GDAL {noted.versions['GDAL']}, {noted.machine}"


def _modules(cloud: Cloud, script: Path) -> str:
    if not script.is_file():
        raise BadError(f"{script} is not a file")
    names = set(_imported(script))
    if missing := sorted(name for name in names if importlib.util.find_spec(name) is None):
        raise BadError(
            f"{script.name} imports {', '.join(missing)}, which this Python does not have; install it here too"
        )
    packages = packages_of(names)
    if not packages:
        return "nothing that the image may lack"
    noted = noted_image(cloud.bucket, cloud.stack_outputs.worker_image)
    if noted is None:
        raise UnknownError(f"{', '.join(packages)}: {_NOT_NOTED}")
    if differences := differing_packages(packages, noted.packages, "workers have"):
        raise BadError(differences)
    return ", ".join(f"{package} {version}" for package, version in packages.items())


def _imported(script: Path) -> Iterator[str]:
    """Yield the modules that a script imports and that do not lie beside it; those travel with the function."""
    for node in ast.walk(ast.parse(script.read_bytes(), str(script))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in {name.partition(".")[0] for name in names} - sys.stdlib_module_names:
            beside = script.parent / name
            if not (beside.is_dir() or beside.with_suffix(".py").is_file()):
                yield name


def _input(name: str) -> str:
    grid = describe(name).grid
    return f"{grid.ncols} columns x {grid.nrows} rows"


def _output(name: str) -> str:
    if name.startswith(SCHEME):
        target = S3Name.parse(name)
        next(Bucket(target.bucket).list_objects(target.key), None)
        return "its bucket can be listed; whether it can be written is tried when a run begins"
    folder = Path(name).absolute().parent
    if not os.access(folder, os.W_OK):
        raise BadError(f"folder {folder} does not exist or cannot be written; make it, or write elsewhere")
    return "its folder can be written"
