from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rios_batch.awsbatch.configuration import WorkerConfig, argument_parser
from rios_batch.contract import Env
from rios_batch.errors import ParameterError, WorkerConfigError
from tests.support import run_script

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = WorkerConfig(
    bucket="exchange",
    region="us-west-2",
    processes=2,
    run_id="20261122-wetlands_1",
    job_sha256="0123456789abcdef" * 4,
    queue_url="https://sqs.us-west-2.amazonaws.com/123456789012/rios-batch-1a2b3c4d-x",
    lease_seconds=300,
    array_index=7,
    batch_job_id="0e1f:7",
)

words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
configs = st.builds(
    WorkerConfig,
    bucket=words,
    region=words,
    processes=st.integers(1, 192),
    run_id=st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,59}\Z"),
    job_sha256=st.from_regex(r"\A[0-9a-f]{64}\Z"),
    queue_url=words,
    lease_seconds=st.integers(10, 43_200),
    array_index=st.integers(0, 9_999),
    batch_job_id=st.text(max_size=40),
)


@given(configs)
def test_environment_and_back(config: WorkerConfig) -> None:
    assert WorkerConfig.from_env(config.to_env()) == config


def test_run_environment_and_the_stacks_make_the_whole() -> None:
    stack = {key.value: CONFIG.to_env()[key.value] for key in (Env.BUCKET, Env.REGION, Env.PROCESSES)}
    read = WorkerConfig.from_env(stack | CONFIG.run_env())
    assert read == replace(CONFIG, array_index=0, batch_job_id="")


def test_run_environment_has_nothing_that_batch_reserves() -> None:
    assert not [key for key in CONFIG.run_env() if key.startswith("AWS_BATCH")]


def test_plain_job_is_number_0_of_its_array() -> None:
    env = CONFIG.to_env()
    del env[Env.BATCH_ARRAY_INDEX.value]
    assert WorkerConfig.from_env(env).array_index == 0


@pytest.mark.parametrize(
    "key",
    [
        Env.BUCKET,
        Env.REGION,
        Env.PROCESSES,
        Env.RUN_ID,
        Env.JOB_SHA256,
        Env.QUEUE_URL,
        Env.LEASE_SECONDS,
    ],
)
def test_missing_variable_is_named(key: Env) -> None:
    env = CONFIG.to_env()
    del env[key.value]
    with pytest.raises(WorkerConfigError, match=f"^a worker cannot start: {key.value} is not set$"):
        WorkerConfig.from_env(env)


def test_all_problems_are_told_at_once() -> None:
    env = CONFIG.to_env() | {Env.PROCESSES.value: "0", Env.JOB_SHA256.value: "abc"}
    del env[Env.BUCKET.value]
    with pytest.raises(WorkerConfigError) as caught:
        WorkerConfig.from_env(env)
    for key in (Env.BUCKET, Env.PROCESSES, Env.JOB_SHA256):
        assert key.value in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        (Env.PROCESSES, "0", "whole numbers from 1"),
        (Env.PROCESSES, "two", "whole numbers from 1"),
        (Env.PROCESSES, "²", "whole numbers from 1"),
        (Env.LEASE_SECONDS, "9", "whole numbers from 10 to 43200"),
        (Env.LEASE_SECONDS, "43201", "whole numbers from 10 to 43200"),
        (Env.BATCH_ARRAY_INDEX, "-1", "whole numbers from 0"),
        (Env.RUN_ID, "a/b", "letters, digits"),
        (Env.RUN_ID, "x" * 61, "at most 60"),
        (Env.JOB_SHA256, "G" * 64, "64 lower-case hexadecimal"),
    ],
)
def test_wrong_value_says_what_is_allowed(key: Env, value: str, allowed: str) -> None:
    with pytest.raises(ParameterError, match=allowed) as caught:
        WorkerConfig.from_env(CONFIG.to_env() | {key.value: value})
    assert key.value in str(caught.value)


def test_command_line_has_the_last_word() -> None:
    assert CONFIG.with_arguments(argument_parser().parse_args(["--processes", "5"])).processes == 5
    assert CONFIG.with_arguments(argument_parser().parse_args([])) == CONFIG


@pytest.mark.parametrize("arguments", [["--processes", "0"], ["--procs", "x"], ["tile"]])
def test_unknown_argument_stops_the_worker(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        argument_parser().parse_args(arguments)
    assert "usage: python -m rios_batch.worker" in capsys.readouterr().err


def test_a_worker_program_can_be_copied_for_its_worker_processes(tmp_path: Path) -> None:
    done = run_script(
        tmp_path,
        """
        import rios_batch.worker
        from rios_batch.jobmanagers import servercopy
        print(servercopy.has_nothing_of_the_script(set()))
        """,
    )

    assert done.stdout == "True\n", done.stderr
