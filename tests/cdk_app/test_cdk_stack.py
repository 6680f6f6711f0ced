from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aws_cdk import App, Validations
from aws_cdk import Stack as CdkStack
from aws_cdk import aws_s3 as s3
from cdk_nag import AwsSolutionsChecks
from cfnlint import lint_file
from cfnlint.config import ManualArgs

from cdk_app.app import build
from cdk_app.settings import DeploySettings
from rios_batch.contract import StackOutput
from rios_batch.testing.emulation.template import IMAGE_HASH, PYTHON, SHIPPED, VERSION
from tests.cdk_app.synthesized import REGION

if TYPE_CHECKING:
    from tests.cdk_app.conftest import Assembly
    from tests.cdk_app.synthesized import Stack

ROOT = Path(__file__).parents[2]
STACKS = ["RiosBatch", "Everything", "Fargate"]
# One with two zones (us-west-1), some that lack what others have, and the usual ones.
REGIONS = [
    *(
        "us-west-1",
        "us-west-2",
        "us-east-1",
        "ca-west-1",
        "sa-east-1",
        "eu-central-1",
        "eu-west-1",
        "eu-north-1",
    ),
    *("af-south-1", "me-central-1", "ap-south-2", "ap-southeast-2", "ap-northeast-1", "ap-northeast-3"),
]

# Every type in the default template, and why it costs nothing while no job runs.
FREE_WHILE_IDLE = {
    "AWS::Batch::ComputeEnvironment": "0 vCPUs while no job waits",
    "AWS::Batch::JobDefinition": "a record",
    "AWS::Batch::JobQueue": "a record",
    "AWS::EC2::InternetGateway": "paid by traffic",
    "AWS::EC2::LaunchTemplate": "a record",
    "AWS::EC2::Route": "a record",
    "AWS::EC2::RouteTable": "a record",
    "AWS::EC2::SecurityGroup": "a record",
    "AWS::EC2::Subnet": "a record",
    "AWS::EC2::SubnetRouteTableAssociation": "a record",
    "AWS::EC2::VPC": "a record",
    "AWS::EC2::VPCEndpoint": "free as a gateway; an interface would cost by the hour",
    "AWS::EC2::VPCGatewayAttachment": "a record",
    "AWS::ECR::Repository": "paid by bytes; empty until a user pushes",
    "AWS::IAM::InstanceProfile": "a record",
    "AWS::IAM::ManagedPolicy": "a record",
    "AWS::IAM::Policy": "a record",
    "AWS::IAM::Role": "a record",
    "AWS::Lambda::Function": "paid by call; called when the stack changes",
    "AWS::Logs::LogGroup": "paid by bytes, which expire",
    "AWS::S3::Bucket": "paid by bytes, which expire",
    "AWS::S3::BucketPolicy": "a record",
    "Custom::BucketContents": "a call of the function",
    "Custom::ImagePublisherPolicyHolders": "a call of the function",
    "Custom::PushedImage": "a call of the function",
    "Custom::RunQueues": "a call of the function",
    "Custom::SubmitterPolicyHolders": "a call of the function",
}


def idle_costs(stack: Stack) -> list[str]:
    """What a template has that costs while idle, or that nobody has judged."""
    found = []
    for name, resource in stack.template["Resources"].items():
        kind, properties = resource["Type"], resource.get("Properties", {})
        if kind not in FREE_WHILE_IDLE:
            found.append(f"{name}: {kind}")
        if kind == "AWS::EC2::VPCEndpoint" and properties.get("VpcEndpointType") != "Gateway":
            found.append(f"{name}: endpoint by the hour")
        if kind == "AWS::Batch::ComputeEnvironment" and properties["ComputeResources"].get("MinvCpus", 0):
            found.append(f"{name}: machines that stay")
        if kind == "AWS::Lambda::Function" and "ProvisionedConcurrencyConfig" in str(properties):
            found.append(f"{name}: kept warm")
    return found


def test_nothing_in_the_default_template_costs_while_idle(default: Stack) -> None:
    assert not idle_costs(default)


def test_idle_cost_check_sees_nat_gateways(everything: Stack) -> None:
    kinds = {line.partition(": ")[2] for line in idle_costs(everything)}
    assert {"AWS::EC2::NatGateway", "AWS::EC2::EIP", "AWS::CloudWatch::Dashboard"} <= kinds


def test_everything_goes_with_the_stack(assembly: Assembly) -> None:
    for stack in assembly.stacks.values():
        for name, resource in stack.template["Resources"].items():
            assert resource.get("DeletionPolicy", "Delete") == "Delete", name
            assert resource.get("UpdateReplacePolicy", "Delete") == "Delete", name


def test_no_full_access_policy_is_attached(assembly: Assembly) -> None:
    for stack in assembly.stacks.values():
        assert "FullAccess" not in json.dumps(stack.template)


def test_no_usage_reporting(default: Stack) -> None:
    assert not default.of_type("AWS::CDK::Metadata")


def test_region_setting_is_that_of_the_stack() -> None:
    stack = build(DeploySettings(region="eu-central-1"))
    assert stack.environment == "aws://unknown-account/eu-central-1"


def test_tags_reach_what_can_be_tagged(everything: Stack) -> None:
    tag = {"Key": "project", "Value": "wetlands"}
    assert tag in everything.only("AWS::S3::Bucket")["Tags"]
    data = everything.properties("AWS::EC2::LaunchTemplate", "Workers/")["LaunchTemplateData"]
    tagged = {item["ResourceType"]: item["Tags"] for item in data["TagSpecifications"]}
    assert tag in tagged["instance"]
    assert tag in tagged["volume"]
    assert everything.properties("AWS::Batch::JobQueue", "Workers/")["Tags"] == {"project": "wetlands"}


@pytest.mark.parametrize("pool", ["Workers", "Mains"])
def test_other_tags_leave_the_environments_in_place(everything: Stack, pool: str) -> None:
    """What of an environment's properties CloudFormation can only replace has none of them, itself or inherited."""
    environment = everything.properties("AWS::Batch::ComputeEnvironment", f"{pool}/")
    assert "Tags" not in environment
    assert "Tags" not in environment["ComputeResources"]
    manifest = json.loads((everything.path.parent / "manifest.json").read_text())
    assert "tags" not in manifest["artifacts"]["Everything"]["properties"], (
        "tags of a stack reach all resources"
    )


# Judged by others.


@pytest.mark.slow
@pytest.mark.parametrize("name", STACKS)
def test_cfn_lint_finds_nothing(assembly: Assembly, name: str) -> None:
    # What costs extra has a region of its own, because many have no budgets; the others are for all.
    config = ManualArgs(regions=[REGION] if name == "Everything" else REGIONS)
    assert not [str(match) for match in lint_file(assembly.stacks[name].path, config)]


@pytest.mark.slow
def test_cfn_lint_knows_what_regions_lack(assembly: Assembly) -> None:
    found = lint_file(assembly.stacks["Everything"].path, ManualArgs(regions=REGIONS))
    assert "'AWS::Budgets::Budget' does not exist in 'eu-north-1'" in str(found)


def test_cdk_nag_finds_nothing_unacknowledged(assembly: Assembly) -> None:
    (report,) = assembly.nag_report["pluginReports"]
    found = [
        f"{violation['ruleName']} at {construct['constructPath']}"
        for violation in report["violations"]
        for construct in violation["violatingConstructs"]
    ]
    assert not found
    assert (report["pluginName"], report["conclusion"]) == ("AwsSolutions", "success")


def test_cdk_nag_is_awake(tmp_path: Path) -> None:
    app = App(analytics_reporting=False, outdir=str(tmp_path))
    s3.Bucket(CdkStack(app, "Careless"), "Bucket")
    Validations.of(app).add_plugins(AwsSolutionsChecks())
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        app.synth()
    report = json.loads((tmp_path / "validation-report.json").read_text())
    assert "AwsSolutions-S10" in json.dumps(report)


# Drift, and how the command line starts it.


def steady(template: dict[str, Any]) -> str:
    """Text of a template without what changes with every edit of the runtime: paths, the image's hash, the version."""
    plain = json.loads(json.dumps(template))
    plain["Outputs"][StackOutput.VERSION]["Value"] = VERSION
    plain["Outputs"][StackOutput.PYTHON]["Value"] = PYTHON
    for resource in plain["Resources"].values():
        resource.pop("Metadata", None)
    text = json.dumps(plain, indent=1, sort_keys=True)
    return re.sub(r"\b[0-9a-f]{64}\b", IMAGE_HASH, text) + "\n"


def test_default_template_is_the_one_that_was_reviewed(default: Stack) -> None:
    now = steady(default.template)
    if os.environ.get("UPDATE_SNAPSHOT"):
        SHIPPED.write_text(now, "utf-8")
    assert now == SHIPPED.read_text("utf-8"), "look at the difference, then: make snapshot"


@pytest.mark.slow
def test_app_in_cdk_json_makes_one_stack_so_that_bare_commands_work(tmp_path: Path) -> None:
    config = json.loads((ROOT / "cdk.json").read_text())
    env = os.environ | {
        "CDK_OUTDIR": str(tmp_path),
        "CDK_CONTEXT_JSON": json.dumps({**config["context"], "stack_name": "Mine"}),
    }
    subprocess.run(config["app"], shell=True, check=True, cwd=ROOT, env=env, capture_output=True)
    templates = list(tmp_path.glob("*.template.json"))
    assert len(templates) == 1
    assert "Mine-BatchBucket" in templates[0].read_text()


def test_cdk_version_is_pinned_without_naming_a_host() -> None:
    package = json.loads((ROOT / "package.json").read_text())
    version = package["devDependencies"]["aws-cdk"]
    assert re.fullmatch(r"2\.\d+\.\d+", version)
    lock = (ROOT / "package-lock.json").read_text()
    assert json.loads(lock)["packages"]["node_modules/aws-cdk"]["version"] == version
    assert '"resolved"' not in lock


MODULES = sorted((ROOT / "cdk_app").glob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_only_the_app_reads_the_environment(path: Path) -> None:
    assert path.name == "app.py" or not re.search(r"os\.environ|getenv", path.read_text("utf-8"))


def test_stack_only_wires() -> None:
    assert len((ROOT / "cdk_app" / "stack.py").read_text("utf-8").splitlines()) <= 150
