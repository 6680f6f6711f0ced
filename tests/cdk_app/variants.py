"""The settings that tests synthesize, and ways to try others."""

from __future__ import annotations

from typing import Any

import pytest

from cdk_app.app import build, make_app
from cdk_app.loading import SettingsError, load_settings
from cdk_app.settings import DeploySettings
from tests.cdk_app.synthesized import REGION

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
        zones=3,
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
        exchange_days=4,
        input_buckets=("sentinel-cogs", "field-data/2026"),
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


def synthesize(settings: DeploySettings) -> dict[str, Any]:
    """Template of a stack as the app makes it, for a test that needs other settings than the shared ones."""
    app = make_app()
    app.node.set_context("aws:cdk:enable-path-metadata", True)  # as the command line does
    build(settings, app=app)
    template: dict[str, Any] = app.synth().get_stack_by_name(settings.stack_name).template
    return template


def refusal(context: dict[str, Any], env: dict[str, str] | None = None) -> str:
    """What a person is told whose settings are not allowed."""
    with pytest.raises(SettingsError) as caught:
        load_settings(context, env or {})
    return str(caught.value)
