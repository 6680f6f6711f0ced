"""SQS: atomic and quick receives, and on wish the accidents of at-least-once delivery."""

from __future__ import annotations

import time
from copy import deepcopy
from typing import Any

from moto.core.utils import unix_time_millis
from moto.sqs.exceptions import QueueDoesNotExist
from moto.sqs.models import Message, Queue, SQSBackend, sqs_backends

from rios_batch.testing.emulation.environment import ACCOUNT
from rios_batch.testing.emulation.patching import replace

_usable_at: dict[str, float] = {}
_LOOK_AGAIN_S = 0.2  # messages that become visible again wake nobody


class Accidents:
    """What shall go wrong, as SQS says it may.

    Attributes
    ----------
    duplicates : every message sent from now on is delivered twice.
    late_s : seconds after its creation during which a queue does not exist for those who use it.
    """

    duplicates = False
    late_s = 0.0


def patch() -> None:
    """Put these in place of moto's own."""
    replace(SQSBackend, "receive_message", _receive)
    delete, add = Queue.delete_message, Queue.add_message

    def delete_locked(queue: Queue, receipt_handle: str) -> None:
        with queue._messages_lock:
            delete(queue, receipt_handle)

    def add_maybe_twice(queue: Queue, message: Message) -> None:
        add(queue, message)
        if Accidents.duplicates:
            add(queue, deepcopy(message))

    replace(Queue, "delete_message", delete_locked)
    replace(Queue, "add_message", add_maybe_twice)
    replace(SQSBackend, "get_queue_attributes", _attributes)
    create, get = SQSBackend.create_queue, SQSBackend.get_queue

    def create_late(backend: SQSBackend, name: str, *rest: Any, **more: Any) -> Queue:
        queue = create(backend, name, *rest, **more)
        _usable_at.setdefault(queue.queue_arn, time.monotonic() + Accidents.late_s)
        return queue

    def get_when_usable(backend: SQSBackend, queue_name: str) -> Queue:
        queue = get(backend, queue_name)
        if time.monotonic() < _usable_at.get(queue.queue_arn, 0.0):
            raise QueueDoesNotExist
        return queue

    replace(SQSBackend, "create_queue", create_late)
    replace(SQSBackend, "get_queue", get_when_usable)


def lose_message(region: str, queue_name: str) -> str:
    """Drop the oldest message that waits, and give its body."""
    queue = sqs_backends[ACCOUNT][region].get_queue(queue_name)
    with queue._messages_lock:
        message = next(message for message in queue._messages if message.visible)
        queue._messages.remove(message)
    return message.body


def _receive(
    backend: SQSBackend,
    queue_name: str,
    count: int,
    wait_seconds_timeout: int,
    visibility_timeout: int,
    _: list[str] | None = None,
) -> list[Message]:
    """Receive as moto does, for standard queues, but two at once never take the same message."""
    deadline = time.monotonic() + wait_seconds_timeout
    while True:
        queue = backend.get_queue(queue_name)  # again each time: it may be deleted meanwhile
        with queue._messages_lock:
            taken = _take(queue, count, visibility_timeout)
            left_s = deadline - time.monotonic()
            if taken or left_s <= 0:
                return taken
            queue._messages_lock.wait(min(left_s, _LOOK_AGAIN_S))


def _take(queue: Queue, count: int, visibility_timeout: int) -> list[Message]:
    now = unix_time_millis()
    taken: list[Message] = []
    dead: list[Message] = []
    for message in queue._messages:
        if len(taken) == count:
            break
        if message.visible_at >= now or message.delayed_until > now:
            continue
        if (
            queue.dead_letter_queue is not None
            and queue.redrive_policy is not None
            and message.approximate_receive_count >= queue.redrive_policy["maxReceiveCount"]
        ):
            dead.append(message)
            continue
        message.mark_received(visibility_timeout=visibility_timeout)
        taken.append(deepcopy(message))
    for message in dead:
        queue._messages.remove(message)
        assert queue.dead_letter_queue is not None
        queue.dead_letter_queue.add_message(message)
    return taken


def _attributes(backend: SQSBackend, queue_name: str, attribute_names: list[str]) -> dict[str, Any]:
    queue = backend.get_queue(queue_name)
    attributes = queue.attributes  # moto computes them once for each name asked for
    wanted = attributes if "All" in attribute_names else attribute_names
    return {name: attributes[name] for name in wanted if attributes.get(name) is not None}
