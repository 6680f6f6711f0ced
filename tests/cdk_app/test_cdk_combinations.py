"""Settings that are each allowed but do not go together."""

from __future__ import annotations

from typing import Any

import cfnlint.helpers
import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

from cdk_app.combinations import FARGATE_MEMORY_MIB, WITHOUT_BUDGETS, architecture, instance_vcpus
from cdk_app.loading import load_settings
from tests.cdk_app.variants import refusal

COMBINATIONS = [
    ({"vcpus": 64, "max_vcpus": 32}, "vcpus is 64 but max_vcpus is 32"),
    ({"main_vcpus": 32}, "main_vcpus is 32 but main_max_vcpus is 16"),
    ({"arch": "arm64", "instance_types": "m7i.large"}, "m7i.large, which is x86_64, but arch is arm64"),
    ({"instance_types": "c7g m7i"}, "c7g, which is arm64, but arch is x86_64"),
    ({"main_instance_types": "t4g.large"}, "main_instance_types has t4g.large"),
    ({"arch": "arm64", "instance_types": "a1.large"}, "Amazon Linux 2023 does not run on"),
    ({"instance_types": "m7i.large", "vcpus": 4}, "the largest of instance_types (m7i.large) has 2 vCPUs"),
    ({"gpus": 1, "capacity": "fargate"}, "gpus is 1 but capacity is fargate, which has no GPUs"),
    ({"gpus": 1, "arch": "arm64"}, "gpus is 1 but arch is arm64: AWS Batch's image with drivers"),
    ({"gpus": 1, "arch": "arm64", "instance_types": "g5g"}, "gpus is 1 but arch is arm64"),
    ({"gpus": 1, "instance_types": "g5 m7i.large"}, "instance_types has m7i.large, which has no GPU"),
    ({"gpus": 1, "instance_types": "optimal"}, "instance_types has optimal, which has no GPU"),
    ({"gpus": 1, "instance_types": "g4ad.xlarge"}, "instance_types has g4ad.xlarge, which has no GPU"),
    (
        {"gpus": 4, "vcpus": 8, "instance_types": "g5.2xlarge g6.16xlarge"},
        "gpus is 4 but the largest of instance_types (g5.2xlarge, g6.16xlarge) has 1",
    ),
    ({"gpus": 8, "vcpus": 8, "instance_types": "g4dn"}, "the largest of instance_types (g4dn) has 4"),
    ({"gpus": 4}, "gpus is 4 but vcpus is 2: each GPU needs a vCPU"),
    ({"network": "private", "nat_gateways": 0}, "private without egress"),
    ({"nat_gateways": 1}, "nat_gateways is 1 but network is public"),
    ({"vpc_id": "vpc-01234567"}, "an existing VPC needs both"),
    ({"subnet_ids": "subnet-01234567"}, "an existing VPC needs both"),
    (
        {"vpc_id": "vpc-01234567", "subnet_ids": "subnet-01234567", "nat_gateways": 1},
        "an existing VPC is not changed",
    ),
    ({"capacity": "fargate", "vcpus": 3}, "vcpus is 3 but Fargate sells 1, 2, 4, 8, 16 vCPUs"),
    ({"capacity": "fargate", "memory_mib": 2048}, "memory_mib is 2048 but Fargate sells 4096 to 16384 MiB"),
    ({"capacity": "fargate", "memory_mib": 5000}, "in steps of 1024 with vcpus=2"),
    (
        {"capacity": "fargate", "main_volume_gib": 201},
        "main_volume_gib is 201 but Fargate allows 21 to 200 GiB",
    ),
    (
        {"capacity": "fargate-spot", "instance_types": "m7i"},
        "capacity is fargate-spot, which has no instances",
    ),
    ({"input_buckets": "bucket-name/prefix " * 40}, "have 40 entries, which take about"),
    ({"budget_usd": 10}, "budget_email is empty"),
    ({"budget_email": "me@example.org"}, "budget_email is me@example.org but budget_usd is 0"),
    (
        {"region": "eu-north-1", "budget_usd": 10, "budget_email": "me@example.org"},
        "budget_usd is 10 but CloudFormation makes no budgets in eu-north-1; set budget_usd to 0",
    ),
    ({"network": "private", "zones": 2, "nat_gateways": 3}, "nat_gateways is 3 but zones is 2"),
    ({"exchange_days": 2}, "exchange_days is 2 but main_timeout_hours is 72"),
    (
        {"worker_image": "mine:1", "pip_packages": "pydantic"},
        "pip_packages is set, but worker_image is mine:1",
    ),
    (
        {"worker_image": "mine:1", "base_image": "ubuntu:24.04"},
        "base_image is set, but worker_image is mine:1",
    ),
]


@pytest.mark.parametrize(("context", "sentence"), COMBINATIONS)
def test_what_does_not_go_together_is_refused(context: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(context)


def test_budget_is_refused_in_the_profiles_region_too() -> None:
    context = {"budget_usd": 10, "budget_email": "me@example.org"}
    # So the CDK's command line tells its app which region it is going to deploy to.
    assert "no budgets in me-central-1" in refusal(context, {"CDK_DEFAULT_REGION": "me-central-1"})
    load_settings({**context, "region": "us-west-2"}, {"CDK_DEFAULT_REGION": "me-central-1"})


def test_regions_without_budgets_are_those_of_cloudformations_own_schemas() -> None:
    regions = {
        region for region in cfnlint.helpers.REGIONS if PROVIDER_SCHEMA_MANAGER.get_resource_types(region)
    }
    without = {
        region
        for region in regions
        if "AWS::Budgets::Budget" not in PROVIDER_SCHEMA_MANAGER.get_resource_types(region)
    }
    assert without == WITHOUT_BUDGETS


def test_all_wrong_combinations_are_told_together() -> None:
    assert len(refusal({"vcpus": 64, "max_vcpus": 32, "nat_gateways": 1}).splitlines()) == 2


@pytest.mark.parametrize(
    "context",
    [
        {"arch": "arm64", "instance_types": "m7g.xlarge c7gn im4gn is4gen hpc7g"},
        {"instance_types": "optimal m7i c6a g4dn g6e r5ad u7i-12tb"},
        {"instance_types": "m7i.large m7i.4xlarge", "vcpus": 16},
        {"instance_types": "m7i.large m7i", "vcpus": 16},
        {"network": "private"},
        {"vpc_id": "vpc-01234567", "subnet_ids": "subnet-01234567,subnet-12345678", "network": "private"},
        {"capacity": "fargate", "arch": "arm64"},
        {"capacity": "fargate-spot", "arch": "arm64"},
        {"region": "eu-west-1", "budget_usd": 10, "budget_email": "me@example.org"},
        {"input_buckets": "*"},
    ],
)
def test_what_goes_together_is_allowed(context: dict[str, Any]) -> None:
    load_settings(context, {})


@pytest.mark.parametrize(("vcpus", "limits"), FARGATE_MEMORY_MIB.items())
def test_fargate_sizes_at_their_limits(vcpus: int, limits: tuple[int, int, int]) -> None:
    low, high, step = limits
    common = {"capacity": "fargate", "vcpus": vcpus}
    for size in (low, high):
        load_settings({**common, "memory_mib": size}, {})
    for size in (low - step, high + step, low + 1):
        assert "Fargate sells" in refusal({**common, "memory_mib": max(size, 512)})


@pytest.mark.parametrize(
    ("instance_type", "vcpus"),
    [
        ("m7i.large", 2),
        ("m7i.xlarge", 4),
        ("c7g.16xlarge", 64),
        ("m7g.medium", 1),
        ("m7i", None),
        ("c5.metal", None),
    ],
)
def test_vcpus_of_an_instance_type(instance_type: str, vcpus: int | None) -> None:
    assert instance_vcpus(instance_type) == vcpus


def test_optimal_is_x86() -> None:
    assert architecture("optimal") == "x86_64"
