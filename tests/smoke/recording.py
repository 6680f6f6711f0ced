"""Keeps what AWS Batch, SQS and CloudFormation answer, without what tells whose account it was.

``python -m tests.smoke.recording FILE ACCOUNT PROGRAM ARGUMENTS...`` runs a script, or a package with a ``__main__``,
and keeps the replies that the program gets.
"""

from __future__ import annotations

import json
import re
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

from botocore import handlers

SERVICES = frozenset({"batch", "sqs", "cloudformation"})
NO_ACCOUNT = "000000000000"
_LEFT_OUT = frozenset({"ResponseMetadata", "ClientRequestToken", "ReceiptHandle"})
_REPLACED = (
    (re.compile(r"(?<=:)\d{12}(?=[:/])|(?<![\d-])\d{12}(?=\.dkr\.)|(?<=/)\d{12}(?=/)"), NO_ACCOUNT),
    (re.compile(r"\b(?:AKIA|ASIA|AIDA|AROA|ANPA|AGPA|AIPA)[A-Z0-9]{12,}\b"), "KEY"),
    (re.compile(r"\b(user|federated-user)/[^\s\"',:]+"), r"\1/somebody"),
    (re.compile(r"\bassumed-role/[^\s\"',:]+"), "assumed-role/role/session"),
    (re.compile(r"(?i)(request ?id:? )[0-9a-z-]+"), r"\1removed"),
    (re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])"), "192.0.2.1"),
)


def anonymous(value: Any, account: str) -> Any:
    """Return a reply without account ids, keys, users, request ids and addresses.

    Parameters
    ----------
    value : what boto3 returns.
    account : id of the account, which is removed wherever it stands, in names too.
    """
    if isinstance(value, dict):
        kept = {key: one for key, one in value.items() if key not in _LEFT_OUT}
        return {key: anonymous(one, account) for key, one in kept.items()}
    if isinstance(value, list):
        return [anonymous(one, account) for one in value]
    if not isinstance(value, str):
        return value
    value = value.replace(account, NO_ACCOUNT)
    for pattern, instead in _REPLACED:
        value = pattern.sub(instead, value)
    return value


class Recorder:
    """Appends each reply to a file, as a line of JSON: service, operation, reply.

    Attributes
    ----------
    path : the file; None while replies are not kept.
    """

    def __init__(self, account: str) -> None:
        self._account = account
        self.path: Path | None = None

    def install(self) -> None:
        """Have every session of boto3 that is made from now on tell this recorder."""
        handlers.BUILTIN_HANDLERS.append(("after-call", self._keep))

    def _keep(self, *, parsed: dict[str, Any], model: Any, **_: Any) -> None:
        service = model.service_model.service_name
        if self.path is None or service not in SERVICES:
            return
        line = {"service": service, "operation": model.name, "reply": anonymous(parsed, self._account)}
        # In one piece, because the program that a step runs writes to the same file.
        with self.path.open("ab", buffering=0) as file:
            file.write(json.dumps(line, default=str).encode() + b"\n")


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # who started the smoke test may ignore Ctrl-C
    file, account, program, *arguments = sys.argv[1:]
    recorder = Recorder(account)
    recorder.path = Path(file)
    recorder.install()
    sys.argv = [program, *arguments]
    if program.endswith(".py"):
        sys.path.insert(0, str(Path(program).parent))
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
