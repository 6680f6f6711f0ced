"""The server's process: moto with all patches behind the middleware.

python -m rios_batch.testing.emulation.server --port 5000
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from rios_batch.testing.emulation import batch, cloudformation, copies, queues, refusals, resources
from rios_batch.testing.emulation.batch import Machines
from rios_batch.testing.emulation.control import Control
from rios_batch.testing.emulation.environment import aws_environment
from rios_batch.testing.emulation.middleware import Middleware
from rios_batch.testing.emulation.reaper import Reaper
from rios_batch.testing.emulation.runners import ContainerRunner, ProcessRunner

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Handler(MotoRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open
    disable_nagle_algorithm = True

    def log_request(self, *_: Any) -> None:
        """Say nothing: the middleware records every request."""


class _Dispatcher(DomainDispatcherApplication):
    # moto looks through its own folders for the name of a service, which takes a third of a request's time.
    get_backend_for_host = cache(DomainDispatcherApplication.get_backend_for_host)


def main(argv: Sequence[str] | None = None) -> None:
    options = _arguments().parse_args(argv)
    logging.basicConfig(level=logging.WARNING)
    reaper = Reaper()
    folder = tempfile.mkdtemp(prefix="rios-batch-emulation-")
    reaper.watch("folder", folder)
    tempfile.tempdir = folder
    control = Control()
    door = Middleware(_Dispatcher(create_backend_app), control)
    server = make_server(options.host, options.port, door, threaded=True, request_handler=_Handler)
    port = server.server_address[1]
    in_containers = options.runner == "container"
    os.environ.update(aws_environment(f"http://127.0.0.1:{port}", options.region))
    machines = Machines(
        runner=ContainerRunner(reaper, image=options.image)
        if in_containers
        else ProcessRunner(reaper, code=options.code, warm=options.warm),
        environment=aws_environment(f"http://127.0.0.1:{port}", options.region),
        grace_s=options.grace_seconds,
        logs_lock=door.service_lock("logs"),
    )
    control.connect(door, machines)
    batch.patch(machines)
    cloudformation.patch()
    resources.patch()
    refusals.patch(machines)
    queues.patch()
    copies.patch()
    print(json.dumps({"port": port}), flush=True)  # noqa: T201 - what the starting process waits for
    if options.until_stdin_closes:
        threading.Thread(target=_stop_with_parent, args=[server], daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        batch.end_all_jobs()
        reaper.finish()


def _stop_with_parent(server: Any) -> None:
    sys.stdin.read()
    server.shutdown()


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; it is printed as JSON")
    parser.add_argument("--region", default="us-west-2", help="region of the jobs' environment")
    parser.add_argument("--runner", choices=["process", "container"], default="process")
    parser.add_argument("--grace-seconds", type=float, default=30.0, help="from SIGTERM to SIGKILL")
    parser.add_argument("--image", help="a local image for containers, in place of those of job definitions")
    parser.add_argument("--code", type=Path, help="folder of what images hold, for processes: by tag")
    parser.add_argument("--warm", action="store_true", help="fork processes that have loaded what jobs need")
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="stop when the starting process is gone"
    )
    return parser


if __name__ == "__main__":
    main()
