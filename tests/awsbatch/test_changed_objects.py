"""What others have changed among a run's objects is not obeyed."""

from __future__ import annotations

import json
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rios_batch.aws.clients import make_client
from rios_batch.aws.queue import WorkQueue
from rios_batch.awsbatch.decoding import RecordError
from rios_batch.awsbatch.runinfo import list_runs
from rios_batch.awsbatch.runstore import InputCopy, RunStore
from rios_batch.awsbatch.starting import end_last_main
from rios_batch.errors import DamagedObjectError, JobMgrError
from tests.s3server import ON_LOOPBACK

if TYPE_CHECKING:
    from rios_batch.aws.objects import Bucket

pytestmark = ON_LOOPBACK

RUN = "0123456789-20260101T000000-1a2b"
PREFIX = "rios-batch-5c6d7e8f-"


def test_the_list_of_inputs_is_read_if_it_is_main_s(bucket: Bucket) -> None:
    store = RunStore(bucket, RUN)
    copies = {"/data/scene.nc": InputCopy("/vsis3/b/runs/r/inputs/scene.nc", {"runs/r/inputs/scene.nc": 7})}

    assert store.staged_inputs(store.put_staged_inputs(copies)) == copies


@pytest.mark.parametrize(
    "copy",
    [
        {"name": "/vsicurl/https://elsewhere.example/scene.tif", "fetch": {}},
        {"name": "scene.nc", "fetch": {"../../../etc/cron.d/mine": 7}},
        {"name": "scene.nc", "fetch": {"/root/.ssh/authorized_keys": 7}},
    ],
)
def test_a_list_of_inputs_that_somebody_has_changed_is_not_used(bucket: Bucket, copy: dict[str, Any]) -> None:
    store = RunStore(bucket, RUN)
    sha256 = store.put_staged_inputs({"/data/scene.nc": InputCopy("/vsis3/b/runs/r/inputs/scene.nc")})
    bucket.put(f"runs/{RUN}/inputs.json", json.dumps({"/data/scene.nc": copy}).encode())

    for known in (sha256, ""):
        with pytest.raises(
            DamagedObjectError, match=rf"^inputs\.json of run {RUN} .*somebody has changed it"
        ):
            store.staged_inputs(known)


@pytest.mark.parametrize(
    ("queue", "job"),
    [
        (f"{PREFIX}{RUN}-3c4d", "rios-batch-another-run-3c4d"),
        (f"{PREFIX}another-run-3c4d", f"rios-batch-{RUN}-3c4d"),
        ("payroll", f"rios-batch-{RUN}-3c4d"),
        (f"{PREFIX}{RUN}-3c4d?x=/payroll", f"rios-batch-{RUN}-3c4d"),
        (f"{PREFIX}{RUN}-3c4d", f"rios-batch-{RUN}-3c4d and others"),
    ],
)
def test_a_resuming_main_ends_nothing_that_is_not_its_run_s(bucket: Bucket, queue: str, job: str) -> None:
    store = RunStore(bucket, RUN)
    store.put_main(f"https://sqs.us-west-2.amazonaws.com/123456789012/{queue}", job)
    no_clients: Any = SimpleNamespace(
        sqs=None, batch=None, stack_outputs=SimpleNamespace(run_queue_prefix=PREFIX)
    )

    with pytest.raises(JobMgrError, match=rf"^main\.json of run {RUN} names .*not of this run"):
        end_last_main(no_clients, store)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"queue_url": 3, "job_name": null}', b"[" * 10_000])
def test_a_main_json_that_is_none_is_refused_in_a_sentence(bucket: Bucket, content: bytes) -> None:
    bucket.put(f"runs/{RUN}/main.json", content)

    with pytest.raises(RecordError, match=rf"^main\.json of run {RUN}, which somebody must have changed"):
        RunStore(bucket, RUN).last_main()


def test_a_queue_on_another_host_is_asked_for_at_sqs_itself() -> None:
    asked: list[str] = []

    class HasSeenEnoughError(Exception):
        pass

    def see(request: Any, **_: Any) -> None:
        asked.append(request.url)
        raise HasSeenEnoughError

    with closing(make_client("sqs", region="us-west-2")) as client:
        client.meta.events.register("before-send.sqs", see)
        with pytest.raises(HasSeenEnoughError):
            WorkQueue(client, f"https://elsewhere.example/123456789012/{PREFIX}{RUN}-3c4d", 60).delete()

        assert asked[0].startswith(client.meta.endpoint_url)


def test_a_resuming_main_says_so_to_the_last_before_it_ends_what_that_has_started(bucket: Bucket) -> None:
    store = RunStore(bucket, RUN)
    url = f"https://sqs.us-west-2.amazonaws.com/123456789012/{PREFIX}{RUN}-3c4d"
    store.put_main(url, f"rios-batch-{RUN}-3c4d")
    known: list[bool] = []

    def look(**_: Any) -> list[Any]:
        known.append(store.is_ended(url))
        return []

    batch: Any = SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=look))
    sqs: Any = SimpleNamespace(delete_queue=look)
    outputs = SimpleNamespace(run_queue_prefix=PREFIX, worker_queue="queue")

    end_last_main(SimpleNamespace(sqs=sqs, batch=batch, stack_outputs=outputs), store)  # type: ignore[arg-type]

    assert known == [True, True]
    assert not store.is_ended(url.replace("3c4d", "5e6f"))


def test_a_command_lists_the_runs_that_can_be_read_and_names_the_others(
    bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    plan = {"blocks": {"ncols": 8, "nrows": 8, "window_xsize": 4, "window_ysize": 4}}
    good = {"versions": {}, "fingerprints": {}, "plan": {**plan, "tile_xblocks": 1, "tile_yblocks": 1}}
    RunStore(bucket, RUN).put_description(good)
    bucket.put(f"runs/{RUN}/tiles/", b"")
    of_another_format = json.dumps({"format": 10**9}).encode()
    for run, content in {"garbage": b"[" * 10_000, "other": b"{}", "lies": of_another_format}.items():
        bucket.put(f"runs/{run}/run.json", content)
    bucket.put("runs/notes/todo.txt", b"somebody's")
    cloud: Any = SimpleNamespace(bucket=bucket, stack_outputs=SimpleNamespace(run_queue_prefix=PREFIX))

    (found,) = list_runs(cloud)

    assert (found.run_id, found.tiles, found.tiles_done, found.state) == (RUN, 4, 0, "stopped")
    for run in ("garbage", "other", "lies", "notes"):
        assert f"run {run} is left out" in caplog.text
