"""Synthesizes once for all tests: loading the CDK and synthesis take longer than all assertions together."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks

from cdk_app.app import FLAGS
from cdk_app.stack import RiosBatchStack
from tests.cdk_app.synthesized import Stack
from tests.cdk_app.variants import VARIANTS
from tests.once import once_per_run

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Assembly:
    stacks: dict[str, Stack]
    nag_report: dict[str, Any]


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Assembly:
    out = once_per_run(tmp_path_factory, worker_id, "cdk.out", _synthesize)
    report = json.loads((out / "validation-report.json").read_text())
    return Assembly({name: _read(out, name) for name in VARIANTS}, report)


def _synthesize(out: Path) -> None:
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
