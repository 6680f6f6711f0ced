"""Leases on work: one SQS queue for each main that controls a run, one message for each piece of work.

Receiving a message leases the work: nobody else gets it for ``lease_seconds``, unless the lease is renewed or given
back. SQS delivers at least once, so the same work may be done twice; the records in S3 decide who was first.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from rios_batch.aws.clients import make_client
from rios_batch.aws.faults import QUEUE_GONE, QueueGoneError, Subject, explained
from rios_batch.errors import AWSError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mypy_boto3_sqs import SQSClient

T = TypeVar("T")
_BATCH = 10  # messages in one request, SQS's limit
_PAUSES_S = (0.5, 0.5, 1.0, 2.0, 4.0, 8.0)  # until a new queue is known
_SENDERS, _SENDS = 32, 5  # requests at a time; tries of one
_KEPT_SECONDS = 14 * 24 * 3600  # the longest that SQS keeps a message
# The lease has lapsed, and another may hold it. The first to write the tile's record wins.
_LAPSED = frozenset(
    {
        "ReceiptHandleIsInvalid",
        "InvalidParameterValue",
        "MessageNotInflight",
        "AWS.SimpleQueueService.MessageNotInflight",
    }
)
LONGEST_WAIT_SECONDS = 20  # SQS's limit for one request


@dataclass(frozen=True)
class Lease:
    """A piece of work that nobody else gets for a while.

    Attributes
    ----------
    body : text of the message that describes the work.
    receipt : SQS's name of the lease.
    received : how often the message was handed out.
    """

    body: str
    receipt: str
    received: int


class WorkQueue:
    """The queue of a run, from the main that made the queue to the workers. Threads may share it."""

    def __init__(self, client: SQSClient, url: str, lease_seconds: int) -> None:
        self._client, self.url, self._lease_seconds = client, url, lease_seconds
        self._subject = Subject.of_queue(url)

    @classmethod
    def create(cls, client: SQSClient, name: str, lease_seconds: int) -> WorkQueue:
        """Make a queue.

        SQS blocks the names of deleted queues for 60 seconds, so each main makes a queue of a new name.
        """
        reply = client.create_queue(
            QueueName=name,
            Attributes={
                "VisibilityTimeout": str(lease_seconds),
                "MessageRetentionPeriod": str(_KEPT_SECONDS),
            },
        )
        return cls(client, reply["QueueUrl"], lease_seconds)

    def wait_until_usable(self) -> None:
        """Wait for a new queue, which may be unknown for a second or more.

        Raises
        ------
        QueueGoneError : the queue is still unknown.
        DeniedError : main may not ask for the queue's sizes, which are needed later, when something is wrong.
        """
        for pause_s in _PAUSES_S:
            try:
                self.sizes()
            except QueueGoneError:
                time.sleep(pause_s)
            else:
                return
        self.sizes()

    @classmethod
    def attach(cls, url: str, *, region: str, lease_seconds: int) -> WorkQueue:
        """Use a queue that main has made."""
        return cls(make_client("sqs", region=region), url, lease_seconds)

    def lead_to(self, other: WorkQueue) -> None:
        """Use another queue from now on, for all who share this object."""
        self.url, self._subject = other.url, other._subject

    def send(self, bodies: Sequence[str]) -> None:
        """Put messages into the queue, many requests at a time.

        A run may have thousands of tiles, and main may be far away.

        Raises
        ------
        AWSError : SQS refuses a message.
        """
        if len(bodies) <= _BATCH:
            self._send(bodies)
            return
        with ThreadPoolExecutor(_SENDERS) as executor:
            for _ in executor.map(self._send, _batches(bodies)):
                pass

    def _send(self, bodies: Sequence[str]) -> None:
        if not bodies:
            return
        waiting = {str(i): body for i, body in enumerate(bodies)}
        for _ in range(_SENDS):
            entries = [{"Id": i, "MessageBody": body} for i, body in waiting.items()]
            with explained(self._subject):
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
        """Lease some work, or none if no work comes within ``wait_seconds``.

        Raises
        ------
        QueueGoneError : the run is over.
        """
        with explained(self._subject):
            reply = self._client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=min(at_most, _BATCH),
                WaitTimeSeconds=min(wait_seconds, LONGEST_WAIT_SECONDS),
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        return [
            Lease(
                message["Body"],
                message["ReceiptHandle"],
                int(message["Attributes"]["ApproximateReceiveCount"]),
            )
            for message in reply.get("Messages", [])
        ]

    def renew(self, leases: Sequence[Lease]) -> None:
        """Hold leases for another ``lease_seconds``. Leases that have lapsed stay lapsed.

        Raises
        ------
        QueueGoneError : the run is over.
        """
        for some in _batches(leases):
            entries = [
                {"Id": str(i), "ReceiptHandle": lease.receipt, "VisibilityTimeout": self._lease_seconds}
                for i, lease in enumerate(some)
            ]
            with explained(self._subject):
                self._client.change_message_visibility_batch(QueueUrl=self.url, Entries=entries)  # type: ignore[arg-type]

    def give_back(self, lease: Lease, delay_seconds: int = 0) -> None:
        """Let others have the work, at once or after a delay."""
        with explained(self._subject, ignoring=_LAPSED | QUEUE_GONE):
            self._client.change_message_visibility(
                QueueUrl=self.url, ReceiptHandle=lease.receipt, VisibilityTimeout=delay_seconds
            )

    def finish(self, lease: Lease) -> None:
        """Take the work out of the queue for good."""
        with explained(self._subject, ignoring=_LAPSED | QUEUE_GONE):
            self._client.delete_message(QueueUrl=self.url, ReceiptHandle=lease.receipt)

    def sizes(self) -> tuple[int, int]:
        """Return how many messages wait and how many are leased, about.

        Raises
        ------
        QueueGoneError : the run is over.
        """
        with explained(self._subject):
            reply = self._client.get_queue_attributes(
                QueueUrl=self.url,
                AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
            )
        found = reply["Attributes"]
        return int(found["ApproximateNumberOfMessages"]), int(found["ApproximateNumberOfMessagesNotVisible"])

    def delete(self) -> None:
        """Remove the queue, if the queue is still there. Workers that ask the queue learn that the run is over."""
        with explained(self._subject, ignoring=QUEUE_GONE):
            self._client.delete_queue(QueueUrl=self.url)


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))
