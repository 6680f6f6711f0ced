"""The table of AWS calls itself, against AWS's service models."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from rios_batch.aws.calls import CALLS, Call, On, Role, actions

if TYPE_CHECKING:
    from collections.abc import Callable


@functools.cache
def operations(service: str) -> dict[str, str]:
    """Operation behind each method of a boto3 client."""
    make: Callable[..., Any] = boto3.client
    client = make(service, region_name="us-west-2", aws_access_key_id="none", aws_secret_access_key="none")
    mapping: dict[str, str] = client.meta.method_to_api_mapping
    return mapping


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.service}.{call.operation}-{call.on.name}")
def test_every_call_exists_and_its_action_is_named_after_it(call: Call) -> None:
    operation = operations(call.service)[call.operation]
    for action in call.actions:
        service, _, name = action.partition(":")
        assert service == call.service
        # S3's actions are coarser than its operations, and tagging on submission is an action of its own.
        if call.service != "s3" and name != "TagResource":
            assert name == operation.removesuffix("Batch")


def test_no_call_is_listed_twice() -> None:
    keys = [(call.service, call.operation, call.on, call.actions) for call in CALLS]
    assert len(keys) == len(set(keys))


def test_actions_of_a_role_are_grouped_by_what_they_act_upon() -> None:
    assert actions(Role.WORKER)[On.EXCHANGE_BUCKET] == ("s3:ListBucket",)
    assert On.OWN_JOBS not in actions(Role.WORKER)
