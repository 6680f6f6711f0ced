from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session
from botocore.stub import Stubber

from rios_batch.aws.faults import explained
from rios_batch.aws.stackoutputs import StackOutputs, read_stack_outputs
from rios_batch.contract import CONTRACT_VERSION, StackOutput
from rios_batch.errors import AWSUnavailableError, JobMgrError, StackExportsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_cloudformation import CloudFormationClient

NUMBERS = {
    StackOutput.WORKER_VCPUS: "2",
    StackOutput.WORKER_GPUS: "0",
    StackOutput.WORKER_MEMORY_MIB: "6144",
    StackOutput.MAX_VCPUS: "128",
    StackOutput.MAIN_VCPUS: "4",
    StackOutput.MAIN_MEMORY_MIB: "8192",
    StackOutput.CONTRACT: str(CONTRACT_VERSION),
}
OUTPUTS = {key.value: NUMBERS.get(key, f"the {key.value}") for key in StackOutput}


def description(status: str = "CREATE_COMPLETE", outputs: dict[str, str] = OUTPUTS) -> Any:
    pairs = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]
    return {
        "StackName": "RiosBatch",
        "StackStatus": status,
        "CreationTime": "2026-01-01T00:00:00Z",
        "Outputs": pairs,
    }


def test_outputs_become_names_and_numbers() -> None:
    read = StackOutputs.from_outputs("RiosBatch", OUTPUTS)
    assert read.worker_queue == "the BatchProcessingJobQueueName"
    assert read.script_definition == "the BatchScriptJobDefinitionName"
    assert (read.worker_vcpus, read.max_vcpus) == (2, 128)


FOR_PEOPLE = {
    StackOutput.MAIN_DEFINITION,
    StackOutput.MAIN_MEMORY_MIB,
    StackOutput.MAIN_REPOSITORY,
    StackOutput.SUBMITTER_POLICY,
    StackOutput.PUBLISHER_POLICY,
}


@pytest.mark.parametrize("key", StackOutput)
def test_each_output_is_read_or_is_for_people(key: StackOutput) -> None:
    read = StackOutputs.from_outputs("RiosBatch", OUTPUTS)
    other = "77" if key in NUMBERS else "another"
    if key is StackOutput.CONTRACT:
        with pytest.raises(StackExportsError, match="follows contract 77"):
            StackOutputs.from_outputs("RiosBatch", {**OUTPUTS, key.value: other})
    else:
        changed = StackOutputs.from_outputs("RiosBatch", {**OUTPUTS, key.value: other}) != read
        assert changed == (key not in FOR_PEOPLE)


@pytest.mark.parametrize("key", StackOutput)
@pytest.mark.parametrize("value", [None, ""])
def test_missing_output_is_named(key: StackOutput, value: str | None) -> None:
    outputs = {name: text for name, text in OUTPUTS.items() if name != key.value}
    if value is not None:
        outputs[key.value] = value
    with pytest.raises(
        StackExportsError, match=rf"stack RiosBatch has no output {key.value};.*deploy it again"
    ):
        StackOutputs.from_outputs("RiosBatch", outputs)


def test_several_missing_outputs_are_named_together() -> None:
    with pytest.raises(StackExportsError, match=r"no output BatchProcessingJobQueueName, .*ContractVersion"):
        StackOutputs.from_outputs("RiosBatch", {})


def test_number_that_is_none_is_an_error() -> None:
    with pytest.raises(StackExportsError, match="output BatchVCPUS of stack RiosBatch is 'two', not a whole"):
        StackOutputs.from_outputs("RiosBatch", {**OUTPUTS, "BatchVCPUS": "two"})


def test_unknown_outputs_are_no_trouble() -> None:
    assert StackOutputs.from_outputs("RiosBatch", {**OUTPUTS, "Other": "x"}).worker_vcpus == 2


@pytest.mark.parametrize(
    "status", ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE"]
)
def test_stack_at_rest_can_be_used(status: str) -> None:
    assert StackOutputs.from_description(description(status)).stack_name == "RiosBatch"


@pytest.mark.parametrize(
    ("status", "cure"),
    [
        ("CREATE_IN_PROGRESS", "wait"),
        ("UPDATE_IN_PROGRESS", "wait"),
        ("DELETE_IN_PROGRESS", "wait"),
        ("ROLLBACK_COMPLETE", "events"),
        ("DELETE_FAILED", "events"),
    ],
)
def test_stack_that_changes_or_failed_cannot(status: str, cure: str) -> None:
    with pytest.raises(StackExportsError, match=f"its status is {status}: .*{cure}"):
        StackOutputs.from_description(description(status))


@pytest.fixture
def client() -> CloudFormationClient:
    return boto3.client(
        "cloudformation",
        region_name="eu-west-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
    )


@pytest.fixture
def stub(client: CloudFormationClient) -> Iterator[Stubber]:
    with Stubber(client) as stubber:
        yield stubber
    stubber.assert_no_pending_responses()


def test_stack_is_looked_up_by_name(client: CloudFormationClient, stub: Stubber) -> None:
    stub.add_response("describe_stacks", {"Stacks": [description()]}, {"StackName": "RiosBatch"})
    assert read_stack_outputs(client, stack_name="RiosBatch").bucket == "the BatchBucket"


def test_missing_stack_says_where_it_was_looked_for(client: CloudFormationClient, stub: Stubber) -> None:
    stub.add_client_error("describe_stacks", "ValidationError", "Stack with id X does not exist")
    with pytest.raises(
        StackExportsError, match=r"no stack Other in eu-west-1; .*RIOS_AWSBATCH_STACK"
    ) as caught:
        read_stack_outputs(client, stack_name="Other")
    assert isinstance(caught.value, JobMgrError)


def test_other_failures_stay_what_they_are(client: CloudFormationClient, stub: Stubber) -> None:
    stub.add_client_error("describe_stacks", "AccessDenied")
    with pytest.raises(ClientError, match="AccessDenied"):
        read_stack_outputs(client, stack_name="RiosBatch")


def test_an_answer_that_was_cut_is_an_error_that_may_pass(
    client: CloudFormationClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = AWSResponse("https://cloudformation", 200, HTTPHeaders(), None)
    monkeypatch.setattr(AWSResponse, "content", b"<DescribeStacksResponse><DescribeStacksResult><Stacks><mem")
    monkeypatch.setattr(URLLib3Session, "send", lambda *_: answer)

    with pytest.raises(AWSUnavailableError, match="AWS's answer about stack X was cut"), explained("stack X"):
        read_stack_outputs(client, stack_name="X")
