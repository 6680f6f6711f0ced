"""Synthesizes once for all tests: loading the CDK and synthesis take longer than all assertions together."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks

from cdk_app.app import FLAGS
from cdk_app.settings import DeploySettings
from cdk_app.stack import RiosBatchStack
from tests.cdk.synthesized import REGION, Stack

if TYPE_CHECKING:
    from pathlib import Path

# Together with the defaults these reach every branch of the constructs.
VARIANTS = {
    "RiosBatch": DeploySettings(),
    "Everything": DeploySettings(
        stack_name="Everything",
        region=REGION,
        tags={"project": "wetlands"},
        ecr_name="wetlands/main",
        network="private",
        nat_gateways=2,
        zones=2,
        arch="arm64",
        capacity="on-demand",
        instance_types=("m7g.xlarge", "c7g"),
        vcpus=4,
        memory_mib=12_000,
        max_vcpus=64,
        volume_gib=60,
        main_volume_gib=300,
        attempts=3,
        timeout_hours=2,
        runnable_limit_minutes=30,
        log_retention_days=7,
        exchange_days=3,
        input_buckets=("sentinel-cogs", "field-data/2026/"),
        output_buckets=("results/maps/",),
        extra_packages=("python3-sklearn", "python3-skimage"),
        pip_packages=("pydantic>=2,<3", "python-dateutil"),
        base_image="ubuntu:24.04",
        rios_archive="https://example.org/rios.tar.gz",
        dashboard=True,
        budget_usd=100,
        budget_email="someone@example.org",
    ),
    "Fargate": DeploySettings(
        stack_name="Fargate",
        capacity="fargate-spot",
        vpc_id="vpc-0123456789abcdef0",
        subnet_ids=("subnet-0123456789abcdef0", "subnet-0123456789abcdef1"),
        worker_image=f"123456789012.dkr.ecr.{REGION}.amazonaws.com/mine:1.2",
    ),
}


@dataclass(frozen=True)
class Assembly:
    stacks: dict[str, Stack]
    nag_report: dict[str, Any]


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    out = tmp_path_factory.mktemp("cdk.out")
    context = {"aws:cdk:enable-path-metadata": True}  # as the command line does
    app = App(analytics_reporting=False, outdir=str(out), context=context, post_cli_context=FLAGS)
    for name, settings in VARIANTS.items():
        RiosBatchStack(app, name, settings=settings)
    Validations.of(app).add_plugins(AwsSolutionsChecks())
    try:
        app.synth()
    except RuntimeError as error:
        # Findings of cdk-nag are one test's affair; the others go on with the templates, which are there.
        if "ValidationFailed" not in str(error):
            raise
    report = json.loads((out / "validation-report.json").read_text())
    return Assembly({name: _read(out, name) for name in VARIANTS}, report)


def _read(out: Path, name: str) -> Stack:
    path = out / f"{name}.template.json"
    assets = json.loads((out / f"{name}.assets.json").read_text())
    return Stack(json.loads(path.read_text()), path, assets)


@pytest.fixture(scope="session")
def default(assembly: Assembly) -> Stack:
    return assembly.stacks["RiosBatch"]


@pytest.fixture(scope="session")
def everything(assembly: Assembly) -> Stack:
    return assembly.stacks["Everything"]


@pytest.fixture(scope="session")
def fargate(assembly: Assembly) -> Stack:
    return assembly.stacks["Fargate"]
