"""The smoke test asks, says what is left, and keeps replies that do not tell whose account it was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.smoke import __main__ as smoke_main
from tests.smoke.recording import Recorder, anonymous
from tests.smoke.session import Session

if TYPE_CHECKING:
    from pathlib import Path

ACCOUNT = "210987654321"


@pytest.fixture
def smoke(tmp_path: Path) -> Session:
    (tmp_path / "recordings").mkdir()
    return Session(tmp_path, "us-west-2", ACCOUNT, "abc", Recorder(ACCOUNT))


def breaks(smoke: Session) -> None:
    """Make a bucket, then fail."""
    smoke.left["bucket b"] = "aws s3 rb --force s3://b"
    raise RuntimeError("no such zone")


def never(smoke: Session) -> None:
    """Never come to this."""
    raise AssertionError(smoke)


@pytest.mark.parametrize(
    ("reply", "kept"),
    [
        (f"arn:aws:batch:us-west-2:{ACCOUNT}:job/1", "arn:aws:batch:us-west-2:000000000000:job/1"),
        (f"cdk-hnb659fds-assets-{ACCOUNT}-us-west-2", "cdk-hnb659fds-assets-000000000000-us-west-2"),
        ("https://sqs.us-west-2.amazonaws.com/999988887777/q", "https://sqs.us-west-2.amazonaws.com/000000000000/q"),
        ("999988887777.dkr.ecr.us-west-2.amazonaws.com/x:1", "000000000000.dkr.ecr.us-west-2.amazonaws.com/x:1"),
        ("arn:aws:iam::999988887777:user/ann is denied", "arn:aws:iam::000000000000:user/somebody is denied"),
        (
            "arn:aws:sts::999988887777:assumed-role/AWSReservedSSO_x/ann@example.org is denied",
            "arn:aws:sts::000000000000:assumed-role/role/session is denied",
        ),
        ("AKIAIOSFODNN7EXAMPLE", "KEY"),
        ("Status Code: 400, Request ID: 1b2c-3d4e)", "Status Code: 400, Request ID: removed)"),
        ("at 10.0.3.17, 54.1.2.3", "at 192.0.2.1, 192.0.2.1"),
        ({"ResponseMetadata": {"RequestId": "1"}, "jobs": [1, True]}, {"jobs": [1, True]}),
        ("4c0ffee5-1111-2222-3333-123456789012", "4c0ffee5-1111-2222-3333-123456789012"),
    ],
)  # fmt: skip
def test_a_reply_is_kept_without_what_tells_whose_it_is(reply: object, kept: object) -> None:
    assert anonymous(json.loads(json.dumps(reply)), ACCOUNT) == kept


def test_a_step_that_fails_is_the_last_and_what_is_left_is_said_with_its_removal(
    smoke: Session, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(smoke_main, "STEPS", (breaks, never))

    assert smoke_main.go_through(smoke) == 1

    said = capsys.readouterr().out
    assert "breaks: FAILED after" in said
    assert "RuntimeError: no such zone" in said
    assert "LEFT: bucket b\n    aws s3 rb --force s3://b" in said
    assert "never" not in said


def test_nothing_is_done_unless_the_answer_is_yes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(smoke_main.ENV_YES, raising=False)
    monkeypatch.setattr("sys.argv", ["smoke"])
    monkeypatch.setattr("builtins.input", lambda question: "" if "less than 2 USD" in question else "yes")
    monkeypatch.setattr(smoke_main, "open_session", never)

    assert smoke_main.main() == 1

    assert "Nothing was done." in capsys.readouterr().out
