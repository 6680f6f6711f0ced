from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from cdk_app import app
from cdk_app.loading import load_settings, words
from cdk_app.settings import DeploySettings
from cdk_app.translate import nat_gateways, retention
from tests.cdk_app.variants import refusal

DOCS = Path(__file__).parents[2] / "docs" / "infrastructure.md"


# Where settings come from.


def test_nothing_said_gives_the_defaults() -> None:
    assert load_settings({}, {}) == DeploySettings()


def test_cdk_json_is_heard() -> None:
    assert load_settings({"rios_batch": {"max_vcpus": 64}}, {}).max_vcpus == 64


def test_environment_wins_over_cdk_json() -> None:
    context = {"rios_batch": {"max_vcpus": 64, "vcpus": 4}}
    settings = load_settings(context, {"RIOS_BATCH_MAX_VCPUS": "32"})
    assert (settings.max_vcpus, settings.vcpus) == (32, 4)


def test_command_line_wins_over_all() -> None:
    context = {"rios_batch": {"max_vcpus": 64}, "max_vcpus": "16"}
    assert load_settings(context, {"RIOS_BATCH_MAX_VCPUS": "32"}).max_vcpus == 16


def test_package_lists_have_the_names_that_forebears_had() -> None:
    env = {
        "EXTRA_PACKAGES": "python3-sklearn python3-skimage",
        "PIP_PACKAGES": "pydantic>=2,<3 python-dateutil",
    }
    settings = load_settings({}, env)
    assert settings.extra_packages == ("python3-sklearn", "python3-skimage")
    assert settings.pip_packages == ("pydantic>=2,<3", "python-dateutil")


def test_empty_variable_is_no_setting() -> None:
    assert load_settings({}, {"EXTRA_PACKAGES": "", "RIOS_BATCH_ZONES": ""}) == DeploySettings()


def test_context_of_the_cdk_itself_is_left_alone() -> None:
    context = {"aws:cdk:enable-path-metadata": True, "@aws-cdk/core:x": True, "hosted-zone:a=b": {}}
    assert load_settings(context, {}) == DeploySettings()


def test_empty_text_is_no_number_of_gateways() -> None:
    assert load_settings({"nat_gateways": ""}, {}).nat_gateways is None


@pytest.mark.parametrize("key", ["acknowledged-issue-numbers", "cli-telemetry"])
def test_what_cdk_commands_write_into_the_context_is_left_alone(key: str) -> None:
    assert load_settings({key: [34892]}, {}) == DeploySettings()


def test_hyphens_in_a_setting_are_a_slip() -> None:
    assert "did you mean max_vcpus?" in refusal({"max-vcpus": 4})


@pytest.mark.parametrize(
    ("context", "place"),
    [
        ({"max_vcpu": 1}, "(context: -c, cdk.json or cdk.context.json)"),
        ({"rios_batch": {"max_vcpu": 1}}, "(rios_batch in cdk.json)"),
    ],
)
def test_unknown_setting_says_where_to_look_for_it(context: dict[str, Any], place: str) -> None:
    assert place in refusal(context)


def test_variables_of_the_runtime_are_left_alone() -> None:
    assert load_settings({}, {"RIOS_BATCH_RUN_ID": "x", "RIOS_BATCH_QUEUE_URL": "y"}) == DeploySettings()


@pytest.mark.parametrize(
    ("text", "items"),
    [("m7i.large", ("m7i.large",)), ("m7i, c7i.xlarge", ("m7i", "c7i.xlarge")), ("m7i c7i", ("m7i", "c7i"))],
)
def test_lists_are_split_at_commas_and_blanks(text: str, items: tuple[str, ...]) -> None:
    assert load_settings({"instance_types": text}, {}).instance_types == items


def test_json_list_in_cdk_json() -> None:
    context = {"rios_batch": {"instance_types": ["m7i", "c7i"], "tags": {"team": "eo"}}}
    settings = load_settings(context, {})
    assert settings.instance_types == ("m7i", "c7i")
    assert settings.tags == {"team": "eo"}


def test_tags_from_text() -> None:
    assert load_settings({"tags": "team=eo, cost-centre=1.2"}, {}).tags == {
        "team": "eo",
        "cost-centre": "1.2",
    }


# Refusals.


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("max_vcpus", "0", "1 to 100000 vCPUs"),
        ("max_vcpus", "many", "1 to 100000 vCPUs"),
        ("memory_mib", "511", "512 to 3145728 MiB"),
        ("volume_gib", "29", "30 to 16384 GiB"),
        ("zones", "7", "1 to 6 zones"),
        ("attempts", "11", "1 to 10 attempts"),
        ("runnable_limit_minutes", "9", "10 to 1440 minutes"),
        ("log_retention_days", "31", "1, 3, 5, 7, 14, 30, 60"),
        ("arch", "arm", "x86_64, arm64"),
        ("capacity", "ondemand", "spot, on-demand, fargate, fargate-spot"),
        ("network", "nat", "public, private"),
        ("nat_gateways", "-1", "0 to 6, or empty"),
        ("stack_name", "1st", "a letter, then letters"),
        ("region", "Oregon", "a region's code"),
        ("ecr_name", "Main", "lower-case"),
        ("vpc_id", "default", "vpc-..."),
        ("subnet_ids", "mine", "subnet-... items"),
        ("instance_types", "large", "items such as m7i.xlarge"),
        ("input_buckets", "s3://x", "bucket or bucket/prefix"),
        ("output_buckets", "*", "bucket or bucket/prefix"),
        ("rios_archive", "rios.zip", "an https address"),
        ("worker_image", "mine", "an image's name with a tag or digest"),
        ("budget_usd", "-5", "0 to 1000000 USD"),
        ("budget_email", "me", "an e-mail address"),
        ("dashboard", "maybe", "true, false"),
        ("tags", "team", "key=value pairs"),
        ("tags", "aws:team=eo", "key=value pairs"),
    ],
)
def test_wrong_value_is_told_with_what_is_allowed_and_the_key(key: str, value: str, allowed: str) -> None:
    message = refusal({key: value})
    assert message.startswith(f"{key} is ")
    assert value in message
    assert f"allowed: {allowed}" in message
    assert f"-c {key}=..., RIOS_BATCH_{key.upper()} or cdk.json" in message


@pytest.mark.parametrize("name", ["python3; rm -rf /", "$(id)", "--allow"])
def test_package_names_are_names(name: str) -> None:
    assert "EXTRA_PACKAGES" in refusal({}, {"EXTRA_PACKAGES": name})
    assert "PIP_PACKAGES" in refusal({}, {"PIP_PACKAGES": name})


def test_all_wrong_values_are_told_together() -> None:
    lines = refusal({"zones": "0", "arch": "mips"}, {"RIOS_BATCH_ATTEMPTS": "x"}).splitlines()
    assert sorted(line.split()[0] for line in lines) == ["arch", "attempts", "zones"]


@pytest.mark.parametrize(
    ("context", "env"),
    [
        ({"max_vcpu": 1}, {}),
        ({"rios_batch": {"max_vcpu": 1}}, {}),
        ({}, {"RIOS_BATCH_MAX_VCPU": "1"}),
    ],
)
def test_slip_in_a_name_is_refused_with_the_right_one(context: dict[str, Any], env: dict[str, str]) -> None:
    assert re.search(r"did you mean (max_vcpus|RIOS_BATCH_MAX_VCPUS)\?", refusal(context, env))


def test_cdk_json_must_hold_an_object() -> None:
    assert "must be an object" in refusal({"rios_batch": ["zones"]})


@pytest.mark.parametrize(
    ("context", "count"),
    [({}, 0), ({"network": "private"}, 1), ({"network": "private", "zones": 3, "nat_gateways": 3}, 3)],
)
def test_nat_gateways(context: dict[str, Any], count: int) -> None:
    assert nat_gateways(load_settings(context, {})) == count


@pytest.mark.parametrize("days", [1, 30, 365, 2557])
def test_every_retention_has_a_name_in_the_cdk(days: int) -> None:
    assert retention(load_settings({"log_retention_days": days}, {})) is not None


# How they are told.


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ({"ZONES": "9"}, "zones is '9', allowed: 1 to 6 zones"),
        ({"MEMORY_MIB": "256"}, "memory_mib is '256', allowed: 512 to"),
        ({"ARCH": "arm64", "INSTANCE_TYPES": "m7i.large"}, "m7i.large, which is x86_64, but arch is arm64"),
        ({"NETWORK": "private", "NAT_GATEWAYS": "0"}, "network is private without egress"),
        ({"VCPUS": "8", "MAX_VCPUS": "4"}, "vcpus is 8 but max_vcpus is 4"),
    ],
)
def test_app_says_what_is_wrong_and_synthesizes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], env: dict[str, str], sentence: str
) -> None:
    for key, value in env.items():
        monkeypatch.setenv(f"RIOS_BATCH_{key}", value)
    monkeypatch.setattr(app, "build", lambda *_, **__: pytest.fail("went on in spite of it"))
    assert app.main() == 2
    assert sentence in capsys.readouterr().err


def test_every_setting_is_in_the_manual_with_unit_default_and_effect() -> None:
    lines = DOCS.read_text("utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| `") and line.count(" | ") == 4]
    wanted = []
    for key in DeploySettings.model_fields:
        about = words(key)
        default = f"`{about['default']}`" if about["default"] else "empty"
        effect = about["effect"].replace("|", "\\|")
        wanted.append(f"| `{key}` | {about['unit']} | {default} | {about['allowed']} | {effect} |")
    assert rows == wanted
