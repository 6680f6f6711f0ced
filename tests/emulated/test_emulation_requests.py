"""Every request is recorded, and can be refused, slowed down, duplicated or lost."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from rios_batch.contract import JOB_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rios_batch.testing.emulation import Emulator


@pytest.fixture
def queue(cloud: Emulator) -> Iterator[str]:
    sqs = cloud.client("sqs")
    url: str = sqs.create_queue(QueueName="elsewhere")["QueueUrl"]
    yield url
    sqs.delete_queue(QueueUrl=url)


def receive(cloud: Emulator, queue: str, **more: Any) -> list[str]:
    reply = cloud.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10, **more)
    return [message["Body"] for message in reply.get("Messages", [])]


def send(cloud: Emulator, queue: str, *bodies: str) -> None:
    entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)]
    cloud.client("sqs").send_message_batch(QueueUrl=queue, Entries=entries)


def test_requests_are_recorded_with_caller_status_bytes_and_permission(cloud: Emulator) -> None:
    outputs = cloud.outputs()
    worker = next(
        role["RoleName"]
        for role in cloud.client("iam").list_roles()["Roles"]
        if role["RoleName"].startswith("RiosBatch-JobsWorkerRole")
    )
    s3 = cloud.client("s3", cloud.assume_role(worker))
    cloud.forget_calls()
    s3.put_object(Bucket=outputs["BatchBucket"], Key="staged/a", Body=b"x" * 1000)
    with pytest.raises(ClientError, match="404"):
        s3.head_object(Bucket=outputs["BatchBucket"], Key="staged/b")
    put, head = cloud.calls()
    assert (put.service, put.operation, put.caller, put.status) == ("s3", "put_object", f"role/{worker}", 200)
    assert put.bytes_in >= 1000
    assert put.actions == ("s3:PutObject",)
    assert put.resources == (f"arn:aws:s3:::{outputs['BatchBucket']}/staged/a",)
    assert (head.operation, head.status, head.bytes_out) == ("head_object", 404, 0)


def test_every_second_call_is_slowed_down_when_half_of_them_shall_be(cloud: Emulator) -> None:
    bucket = cloud.outputs()["BatchBucket"]
    cloud.forget_calls()
    cloud.slow_down("s3", share=0.5)
    for _ in range(3):
        cloud.client("s3").head_bucket(Bucket=bucket)  # boto3 tries again
    assert [call.status for call in cloud.calls()] == [503, 200, 503, 200, 503, 200]


def test_a_message_is_delivered_twice_or_never(cloud: Emulator, queue: str) -> None:
    send(cloud, queue, "lost", "once")
    cloud.duplicate_messages(True)
    send(cloud, queue, "twice")
    assert cloud.lose_message(queue) == "lost"
    assert receive(cloud, queue) == ["once", "twice", "twice"]


def test_no_message_is_received_by_two_at_once(cloud: Emulator, queue: str) -> None:
    bodies = [str(number) for number in range(10)]
    send(cloud, queue, *bodies)
    received: list[str] = []

    def take() -> None:
        sqs = cloud.client("sqs")
        while messages := sqs.receive_message(QueueUrl=queue).get("Messages"):
            received.extend(message["Body"] for message in messages)

    takers = [threading.Thread(target=take) for _ in range(4)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
    assert sorted(received) == bodies


def test_a_receiver_that_waits_gets_what_is_sent_meanwhile(cloud: Emulator, queue: str) -> None:
    received: list[str] = []
    waiting = threading.Thread(target=lambda: received.extend(receive(cloud, queue, WaitTimeSeconds=20)))
    waiting.start()
    send(cloud, queue, "late")
    waiting.join()
    assert received == ["late"]


def test_one_of_many_conditional_writes_wins(cloud: Emulator) -> None:
    bucket, s3 = cloud.outputs()["BatchBucket"], cloud.client("s3")
    statuses: list[int] = []

    def write(body: bytes) -> None:
        try:
            s3.put_object(Bucket=bucket, Key="staged/record", Body=body, IfNoneMatch="*")
            statuses.append(200)
        except ClientError as error:
            statuses.append(error.response["ResponseMetadata"]["HTTPStatusCode"])

    writers = [threading.Thread(target=write, args=[bytes([number])]) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(statuses) == [200, 412, 412, 412]


class TestPermissions:
    """With IAM enforced, as a person who has the stack's submitter policy."""

    @pytest.fixture
    def person(self, cloud: Emulator) -> Iterator[dict[str, str]]:
        with cloud.user_with(cloud.outputs()["SubmitterPolicyArn"]) as credentials:
            cloud.enforce_iam(True)
            yield credentials
            cloud.enforce_iam(False)

    @pytest.mark.parametrize(
        ("service", "operation", "arguments", "code"),
        [
            ("s3", "put_object", {"Bucket": "cdk-other", "Key": "k"}, "AccessDenied"),
            ("s3", "head_object", {"Bucket": "cdk-other", "Key": "k"}, "403"),
            ("sqs", "create_queue", {"QueueName": "elsewhere"}, "AccessDenied"),
            ("cloudformation", "describe_stacks", {"StackName": "Other"}, "AccessDenied"),
            ("batch", "terminate_job", {"jobId": "0", "reason": "r"}, "AccessDeniedException"),
            ("logs", "get_log_events", {"logGroupName": "g", "logStreamName": "s"}, "AccessDeniedException"),
            ("iam", "list_users", {}, "AccessDenied"),
        ],
    )
    def test_what_the_policy_does_not_allow_is_denied(
        self,
        cloud: Emulator,
        person: dict[str, str],
        service: str,
        operation: str,
        arguments: dict[str, str],
        code: str,
    ) -> None:
        client = cloud.client(service, person)
        with pytest.raises(ClientError) as caught:
            getattr(client, operation)(**arguments)
        assert caught.value.response["Error"]["Code"] == code
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403

    def test_what_the_policy_allows_is_done_with_its_resources_and_conditions(
        self, cloud: Emulator, person: dict[str, str]
    ) -> None:
        outputs = cloud.outputs()
        of_a_run = {"Bucket": outputs["BatchBucket"], "Key": "runs/a"}
        cloud.client("s3", person).put_object(**of_a_run, Body=b"")
        cloud.client("s3", person).delete_object(**of_a_run)
        batch = cloud.client("batch", person)
        job: dict[str, Any] = {
            "jobName": "test",
            "jobQueue": outputs["BatchProcessingJobQueueName"],
            "jobDefinition": outputs["BatchProcessingJobDefinitionName"],
            "containerOverrides": {"command": ["sleep", "600"]},
        }
        with pytest.raises(ClientError, match="batch:TagResource"):
            batch.submit_job(**job, tags={JOB_TAG: "Other"})
        own = batch.submit_job(**job, tags={JOB_TAG: "RiosBatch"})["jobId"]
        nobodys = cloud.client("batch").submit_job(**job)["jobId"]
        with pytest.raises(ClientError, match="batch:TerminateJob"):
            batch.terminate_job(jobId=nobodys, reason="not mine")
        batch.terminate_job(jobId=own, reason="mine")
        cloud.client("batch").terminate_job(jobId=nobodys, reason="the owner may")
        while any(job.handle for job in cloud.jobs()):
            time.sleep(0.05)

    def test_an_action_can_be_taken_away_and_comes_back(
        self, cloud: Emulator, person: dict[str, str]
    ) -> None:
        formation = cloud.client("cloudformation", person)
        policy = cloud.outputs()["SubmitterPolicyArn"]
        with (
            cloud.without_action(policy, "cloudformation:DescribeStacks"),
            pytest.raises(ClientError, match="AccessDenied"),
        ):
            formation.describe_stacks(StackName="RiosBatch")
        assert formation.describe_stacks(StackName="RiosBatch")["Stacks"]

    def test_an_absent_object_is_forbidden_to_those_who_may_not_list(
        self, cloud: Emulator, person: dict[str, str]
    ) -> None:
        outputs, s3 = cloud.outputs(), cloud.client("s3", person)
        with pytest.raises(ClientError, match="404"):
            s3.head_object(Bucket=outputs["BatchBucket"], Key="runs/absent")
        with (
            cloud.without_action(outputs["SubmitterPolicyArn"], "s3:ListBucket"),
            pytest.raises(ClientError, match="403"),
        ):
            s3.head_object(Bucket=outputs["BatchBucket"], Key="runs/absent")

    def test_unknown_credentials_are_refused(self, cloud: Emulator) -> None:
        cloud.enforce_iam(True)
        stranger = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "x"}
        with pytest.raises(ClientError, match="InvalidClientTokenId"):
            cloud.client("sts", stranger).get_caller_identity()


def test_a_queue_can_be_unusable_at_first(cloud: Emulator) -> None:
    sqs = cloud.client("sqs")
    cloud.be_late(queues_s=1)
    url = sqs.create_queue(QueueName="late")["QueueUrl"]
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.send_message(QueueUrl=url, MessageBody="x")
    while True:
        try:
            sqs.send_message(QueueUrl=url, MessageBody="x")
            break
        except sqs.exceptions.QueueDoesNotExist:
            time.sleep(0.05)
    sqs.delete_queue(QueueUrl=url)


def test_a_job_can_be_unknown_at_first(cloud: Emulator) -> None:
    batch, outputs = cloud.client("batch"), cloud.outputs()
    cloud.be_late(jobs_s=1)
    job = batch.submit_job(
        jobName="late",
        jobQueue=outputs["BatchProcessingJobQueueName"],
        jobDefinition=outputs["BatchProcessingJobDefinitionName"],
        containerOverrides={"command": ["true"]},
    )["jobId"]
    assert batch.describe_jobs(jobs=[job])["jobs"] == []
    while not (found := batch.describe_jobs(jobs=[job])["jobs"]):
        time.sleep(0.05)
    assert found[0]["jobId"] == job
