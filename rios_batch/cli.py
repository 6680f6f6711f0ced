"""The command line: argument parsing and wiring only."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import rios_batch
from rios_batch.errors import ParameterError, RiosBatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rios_batch.aws.scripts import ScriptJob


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Parameters
    ----------
    arguments : what follows the program's name; None for those of this process.
    """
    parser = _parser()
    parsed = parser.parse_args(arguments)
    if parsed.command is None:
        parser.print_help()
        return 0
    try:
        status: int = parsed.command(parsed)
    except RiosBatchError as error:
        _say(f"rios-batch: {error}")
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rios-batch", description=(rios_batch.__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--version", action="version", version=f"rios_batch {rios_batch.__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands")

    submit = commands.add_parser(
        "submit",
        help="run a script on AWS Batch, as main",
        description="Run a script as main in the stack's image, near the data, and print what it prints. Its outputs "
        "should be s3:// names: files in its folder are gone at its end.",
    )
    submit.add_argument(
        "--with", dest="beside", type=Path, action="append", default=[], metavar="FILE",
        help="a module or data file that the script finds beside itself; may be repeated",
    )  # fmt: skip
    submit.add_argument("--detach", action="store_true", help="print the job's id and leave")
    submit.add_argument("script", type=Path)
    submit.add_argument("arguments", nargs=argparse.REMAINDER, help="the script's own")
    submit.set_defaults(command=_submit)

    for name, command, text in (
        ("follow", _follow, "print what a submitted script prints, until it ends"),
        ("terminate", _terminate, "end a submitted script"),
    ):
        sub = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        sub.add_argument("job", help="the id that submit printed")
        sub.set_defaults(command=command)

    as_rios = commands.add_parser(
        "as-rios",
        help="run a script that imports rios, unchanged",
        description="Run a script for RIOS as `python SCRIPT` would, but with rios_batch in place of rios.applier and "
        "its like.",
    )
    as_rios.add_argument("script", type=Path)
    as_rios.add_argument("arguments", nargs=argparse.REMAINDER, help="the script's own")
    as_rios.set_defaults(command=_as_rios)
    return parser


# The commands import what they need: boto3 is not for those who ask for help.


def _submit(parsed: argparse.Namespace) -> int:
    from rios_batch.aws.cloud import Cloud  # noqa: PLC0415
    from rios_batch.aws.faults import explained  # noqa: PLC0415
    from rios_batch.aws.scripts import ScriptJob, send_script, submit_script  # noqa: PLC0415

    files = [parsed.script, *parsed.beside]
    _check_files(files)
    cloud = Cloud.connect()
    with explained("the script job"):
        cloud.check_queue(cloud.stack_outputs.main_queue)
        sent = send_script(cloud.bucket, files)
        job = ScriptJob(cloud, submit_script(cloud, sent, parsed.script.name, parsed.arguments))
    if parsed.detach:
        print(job.job_id)  # noqa: T201 - the command's result
        return 0
    return _print_until_the_end(job)


def _check_files(files: Sequence[Path]) -> None:
    for file in files:
        if not file.is_file():
            raise ParameterError(f"{file} is not a file")
        if not file.name.isprintable():
            raise ParameterError(
                f"the name {file.name!r} has a line break or the like in it; rename the file"
            )
    names = [file.name for file in files]
    for name in names:
        if names.count(name) > 1:
            raise ParameterError(
                f"two of the files are called {name}; they would lie in one folder, so rename one"
            )


def _follow(parsed: argparse.Namespace) -> int:
    from rios_batch.aws.cloud import Cloud  # noqa: PLC0415
    from rios_batch.aws.scripts import ScriptJob  # noqa: PLC0415

    return _print_until_the_end(ScriptJob(Cloud.connect(), parsed.job))


def _terminate(parsed: argparse.Namespace) -> int:
    from rios_batch.aws.cloud import Cloud  # noqa: PLC0415
    from rios_batch.aws.faults import explained  # noqa: PLC0415
    from rios_batch.aws.scripts import ScriptJob  # noqa: PLC0415

    job = ScriptJob(Cloud.connect(), parsed.job)
    with explained(f"job {parsed.job}"):
        job.describe()
        job.terminate()
    return 0


def _as_rios(parsed: argparse.Namespace) -> int:
    from rios_batch.as_rios import run_script  # noqa: PLC0415

    _check_files([parsed.script])
    try:
        run_script(parsed.script, parsed.arguments)
    except RiosBatchError:  # the script's, whose traceback is as wanted as with `python script.py`
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _print_until_the_end(job: ScriptJob) -> int:
    from rios_batch.aws.faults import explained  # noqa: PLC0415

    try:
        with explained(f"job {job.job_id}"):
            for line in job.follow():
                print(line, flush=True)  # noqa: T201 - the command's result
    except KeyboardInterrupt:
        _say(
            f"\nThe job goes on. `rios-batch follow {job.job_id}` shows it again, "
            f"`rios-batch terminate {job.job_id}` ends it."
        )
        return 130
    return job.exit_status


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - messages for a person
