"""Leases on work: one SQS queue for each attempt of a run, one message for each piece of work.

Receiving a message leases the work: nobody else gets it for ``lease_seconds``, unless the lease is renewed or given
back. SQS delivers at least once, so the same work may be done twice; the records in S3 decide who was first.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import ClientError

from rios_batch.aws.clients import error_code, make_client
from rios_batch.aws.faults import explained
from rios_batch.awsbatch.messages import Work, decode_work, encode_work
from rios_batch.errors import AWSError, JobMgrError

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from mypy_boto3_sqs import SQSClient

T = TypeVar("T")
_BATCH = 10  # messages in one request, SQS's limit
_SENDERS, _SENDS = 8, 5  # requests at a time; tries of one
_KEPT_SECONDS = 14 * 24 * 3600  # the longest that SQS keeps a message
# The lease has lapsed, and another may hold it. The first to write the tile's record wins.
_LAPSED = {
    "ReceiptHandleIsInvalid",
    "InvalidParameterValue",
    "MessageNotInflight",
    "AWS.SimpleQueueService.MessageNotInflight",
}
_GONE = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}
LONGEST_WAIT_SECONDS = 20  # SQS's limit for one request


class QueueGoneError(JobMgrError):
    """The run's queue was deleted: the run is over."""


@dataclass(frozen=True)
class Lease:
    """A piece of work that nobody else gets for a while. ``received`` counts how often it was handed out."""

    work: Work
    receipt: str
    received: int


class WorkQueue:
    """The queue of one attempt of a run."""

    def __init__(self, client: SQSClient, url: str, lease_seconds: int) -> None:
        self._client, self.url, self._lease_seconds = client, url, lease_seconds

    @classmethod
    def create(cls, client: SQSClient, name: str, lease_seconds: int) -> WorkQueue:
        """Make a queue; names of deleted queues are blocked for 60 seconds, so each attempt has a new one."""
        reply = client.create_queue(
            QueueName=name,
            Attributes={
                "VisibilityTimeout": str(lease_seconds),
                "MessageRetentionPeriod": str(_KEPT_SECONDS),
            },
        )
        return cls(client, reply["QueueUrl"], lease_seconds)

    @classmethod
    def attach(cls, url: str, *, region: str, lease_seconds: int) -> WorkQueue:
        """Use a queue that main has made."""
        return cls(make_client("sqs", region=region), url, lease_seconds)

    def send(self, works: Sequence[Work]) -> None:
        """Put work in, many requests at a time: a run may have thousands of tiles, and main be far away.

        Raises
        ------
        AWSError : SQS refuses a message.
        """
        with ThreadPoolExecutor(_SENDERS) as executor:
            for _ in executor.map(self._send, _batches(works)):
                pass

    def _send(self, works: Sequence[Work]) -> None:
        waiting = {str(i): encode_work(work) for i, work in enumerate(works)}
        for _ in range(_SENDS):
            entries = [{"Id": i, "MessageBody": body} for i, body in waiting.items()]
            with explained(f"queue {self.url}"):
                reply = self._client.send_message_batch(QueueUrl=self.url, Entries=entries)  # type: ignore[arg-type]
            failed = reply.get("Failed", [])
            if not failed:
                return
            # A request may succeed in part, which boto3 does not try again.
            waiting = {entry["Id"]: waiting[entry["Id"]] for entry in failed if not entry["SenderFault"]}
            if len(waiting) < len(failed):
                break
        raise AWSError(f"SQS did not take a message: {failed[0].get('Message', failed[0]['Code'])}")

    def receive(self, at_most: int, wait_seconds: int) -> list[Lease]:
        """Lease some work, or none if there is none within the time.

        Raises
        ------
        QueueGoneError : the run is over.
        """
        with self._explained():
            reply = self._client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=min(at_most, _BATCH),
                WaitTimeSeconds=min(wait_seconds, LONGEST_WAIT_SECONDS),
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        return [
            Lease(
                decode_work(message["Body"]),
                message["ReceiptHandle"],
                int(message["Attributes"]["ApproximateReceiveCount"]),
            )
            for message in reply.get("Messages", [])
        ]

    def renew(self, leases: Sequence[Lease]) -> None:
        """Hold leases for another ``lease_seconds``; those that have lapsed already stay so."""
        for some in _batches(leases):
            entries = [
                {"Id": str(i), "ReceiptHandle": lease.receipt, "VisibilityTimeout": self._lease_seconds}
                for i, lease in enumerate(some)
            ]
            with self._explained():
                self._client.change_message_visibility_batch(QueueUrl=self.url, Entries=entries)  # type: ignore[arg-type]

    def give_back(self, lease: Lease, delay_seconds: int = 0) -> None:
        """Let others have the work, at once or after a delay."""
        with self._explained(ignoring=_LAPSED | _GONE):
            self._client.change_message_visibility(
                QueueUrl=self.url, ReceiptHandle=lease.receipt, VisibilityTimeout=delay_seconds
            )

    def finish(self, lease: Lease) -> None:
        """Take the work out for good."""
        with self._explained(ignoring=_LAPSED | _GONE):
            self._client.delete_message(QueueUrl=self.url, ReceiptHandle=lease.receipt)

    def sizes(self) -> tuple[int, int]:
        """Return how many messages wait and how many are leased, about.

        Raises
        ------
        QueueGoneError : the run is over.
        """
        with self._explained():
            reply = self._client.get_queue_attributes(
                QueueUrl=self.url,
                AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
            )
        found = reply["Attributes"]
        return int(found["ApproximateNumberOfMessages"]), int(found["ApproximateNumberOfMessagesNotVisible"])

    def delete(self) -> None:
        """Remove the queue, if it is still there; workers that ask it learn that the run is over."""
        with self._explained(ignoring=_GONE):
            self._client.delete_queue(QueueUrl=self.url)

    @contextlib.contextmanager
    def _explained(self, ignoring: Container[str] = ()) -> Iterator[None]:
        try:
            with explained(f"queue {self.url}"):
                yield
        except AWSError as error:
            code = error_code(error.__cause__) if isinstance(error.__cause__, ClientError) else ""
            if code in ignoring:
                return
            if code in _GONE:
                raise QueueGoneError(f"queue {self.url} is gone") from error
            raise


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))
