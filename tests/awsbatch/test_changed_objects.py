"""What others have changed among a run's objects is not obeyed."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

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
