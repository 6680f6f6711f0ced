"""A rough network on loopback: hands bytes on to a server, and breaks connections now and then."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
from typing import Self

_PIECE_BYTES = 64 * 1024
_NO_LINGERING = struct.pack("ii", 1, 0)  # close() then sends RST
_ANSWER = b"HTTP/"
_MESSAGES = (b"GET ", b"HEAD ", b"PUT ", b"POST ", b"DELETE ", _ANSWER)


class RoughNetwork:
    """Listens on a port of its own and hands on what comes.

    Parameters
    ----------
    port : of the server on this machine.
    resets : share of the requests and of the answers at half of which the connection is reset.
    cuts : share of the answers of which half arrives before the connection is closed.
    seed : of the chances.
    """

    def __init__(self, port: int, *, resets: float = 0.0, cuts: float = 0.0, seed: int = 1) -> None:
        self._server_port, self._resets, self._cuts = port, resets, cuts
        self._chances, self._lock = random.Random(seed), threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.broken = 0
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        _close(*self._open, reset=True)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                self._open |= {client, server}
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._hand_on, args=ends, daemon=True).start()

    def _hand_on(self, source: socket.socket, target: socket.socket) -> None:
        reset = False
        try:
            while piece := source.recv(_PIECE_BYTES):
                reset = self._happens(self._resets, piece)
                cut = piece.startswith(_ANSWER) and self._happens(self._cuts, piece)
                if reset or cut:
                    target.sendall(piece[: len(piece) // 2])
                    break
                target.sendall(piece)
        except OSError:
            reset = True
        _close(source, target, reset=reset)
        self._open -= {source, target}

    def _happens(self, share: float, piece: bytes) -> bool:
        """Decide once for each message, at its first piece."""
        if not piece.startswith(_MESSAGES):
            return False
        with self._lock:
            happens = self._chances.random() < share
            self.broken += happens
            return happens


def _close(*sides: socket.socket, reset: bool) -> None:
    for side in sides:
        with contextlib.suppress(OSError):
            if reset:
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
            # Wakes the thread that reads here. Only without the other half, nothing but the reset is sent.
            side.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
        side.close()
