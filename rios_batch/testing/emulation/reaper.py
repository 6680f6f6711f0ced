"""Ends what the server leaves behind, however the server ends: a process that outlives it by a moment."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress

_KINDS = ("group", "container", "folder")


class Reaper:
    """The server's side: says what to end when the server is gone."""

    def __init__(self) -> None:
        # In a session of its own: Ctrl-C reaches the server, which then ends its jobs itself.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rios_batch.testing.emulation.reaper"],
            stdin=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        self._lock = threading.Lock()

    def watch(self, kind: str, name: object) -> None:
        """End this when the server is gone."""
        self._tell("+", kind, name)

    def forget(self, kind: str, name: object) -> None:
        """Leave it alone: it has ended."""
        self._tell("-", kind, name)

    def _tell(self, sign: str, kind: str, name: object) -> None:
        assert kind in _KINDS
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(f"{sign} {kind} {name}\n")

    def finish(self) -> None:
        """End everything that is still watched."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    watched: dict[tuple[str, str], None] = {}
    for line in sys.stdin:  # until the server is gone
        sign, kind, name = line.rstrip("\n").split(" ", 2)
        if sign == "+":
            watched[kind, name] = None
        else:
            del watched[kind, name]
    for kind, name in reversed(watched):
        if kind == "group":
            with suppress(ProcessLookupError):
                os.killpg(int(name), signal.SIGKILL)
        elif kind == "container":
            subprocess.run(["docker", "rm", "--force", "--volumes", name], capture_output=True, check=False)
        else:
            shutil.rmtree(name, ignore_errors=True)


if __name__ == "__main__":
    main()
