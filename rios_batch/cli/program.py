"""The command line ``rios-batch``: arguments and wiring. Commands about runs are in `rios_batch.cli.runs`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

import rios_batch
from rios_batch.cli.campaigns import INTERRUPTED as _INTERRUPTED
from rios_batch.cli.campaigns import cancel_campaign, follow_campaign, is_campaign, submit_each
from rios_batch.cli.output import as_json_option, say, show
from rios_batch.cli.planning import plan
from rios_batch.cli.rehearse import rehearse
from rios_batch.cli.replaying import replay
from rios_batch.cli.report import report
from rios_batch.cli.runs import RUN_COMMANDS
from rios_batch.errors import ParameterError, RequirementError, RiosBatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rios_batch.aws.scripts import ScriptJob

EXIT_CODES = """RUN is the id of a run, which `rios-batch runs` lists and the run itself has said; JOB is what
`submit` has printed. Exit status: 0 done; 1 it could not be done, and a sentence on standard error says why, or
what was looked at is not well (doctor, plan, rehearse, replay); 2 the command line is wrong; 130 interrupted
(Ctrl-C). submit, follow and resume end with the script's own status."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Parameters
    ----------
    arguments : what follows the program's name; None for those of this process.
    """
    try:
        status = commands.main(arguments, prog_name="rios-batch", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as help_text:
        click.echo(help_text.format_message())
        return 0
    except click.UsageError as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except RiosBatchError as error:
        say(f"rios-batch: {error}")
        return 1
    except ImportError:
        if (lack := _missing_requirement()) is None:
            raise
        say(f"rios-batch: {lack}")
        return 1
    return status if isinstance(status, int) else 0


def _missing_requirement() -> RequirementError | None:
    """Return what every run needs and this environment has not, such as GDAL; None if all is there."""
    try:
        importlib.import_module("rios_batch.model.requirements")
    except RequirementError as error:
        return error
    return None


@click.group(epilog=EXIT_CODES, help=(rios_batch.__doc__ or "").partition("\n")[0])
@click.version_option(rios_batch.__version__, message="rios_batch %(version)s")
def commands() -> None:
    """Give the commands a name."""


# The commands import what they need: boto3 is not for those who ask for help.


# -- scripts that run as main on Batch


@commands.command(
    context_settings={"allow_interspersed_args": False},
    short_help="Run a script on AWS Batch, as main.",
)
@click.option(
    "--with", "beside", type=click.Path(path_type=Path), multiple=True, metavar="FILE",
    help="A module or data file that the script finds beside itself; may be repeated.",
)  # fmt: skip
@click.option("--detach", is_flag=True, help="Print the job's id and leave.")
@click.option(
    "--each", "list_file", type=click.Path(path_type=Path), metavar="LIST",
    help="Run the script once for each line of this text file; {} in ARGUMENTS is the line, {1}, {2} its columns.",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="With --each: only the lines that are not done yet.")
@as_json_option
@click.argument("script", type=click.Path(path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def submit(
    *,
    beside: tuple[Path, ...],
    detach: bool,
    list_file: Path | None,
    resume: bool,
    as_json: bool,
    script: Path,
    arguments: tuple[str, ...],
) -> int:
    """Run a script as main in the stack's image, near the data, and print what the script prints.

    Its outputs should be s3:// names: files in the script's folder are gone at its end. ARGUMENTS are the script's own.
    """
    from rios_batch.aws.cloud import Cloud  # noqa: PLC0415
    from rios_batch.aws.faults import explained  # noqa: PLC0415
    from rios_batch.aws.scripts import ScriptJob, send_script, submit_script  # noqa: PLC0415

    if resume and list_file is None:
        raise click.UsageError("--resume goes with --each; `rios-batch resume RUN` goes on with a run")
    files = [script, *beside]
    _check_files(files)
    if list_file is not None:
        _check_files([list_file])
    cloud = Cloud.connect()
    with explained("the script job"):
        cloud.check_queue(cloud.stack_outputs.main_queue)
    if list_file is not None:
        return submit_each(cloud, list_file, files, arguments, resume=resume, detach=detach, as_json=as_json)
    with explained("the script job"):
        sent = send_script(cloud.bucket, files)
        job = ScriptJob(cloud, submit_script(cloud, sent, script.name, arguments))
    if detach:
        show({"job": job.job_id}, [job.job_id], as_json=as_json)
        return 0
    return _print_until_the_end(job, as_json=as_json)


@commands.command()
@as_json_option
@click.argument("job")
def follow(*, job: str, as_json: bool) -> int:
    """Print what a submitted script prints, until the script ends. JOB is the id that submit printed."""
    from rios_batch.aws.cloud import Cloud  # noqa: PLC0415
    from rios_batch.aws.scripts import ScriptJob  # noqa: PLC0415

    if is_campaign(job):
        return follow_campaign(Cloud.connect(), job, as_json=as_json)
    return _print_until_the_end(ScriptJob(Cloud.connect(), job), as_json=as_json)


@commands.command()
@as_json_option
@click.argument("job")
def terminate(*, job: str, as_json: bool) -> None:
    """End a submitted script. JOB is the id that submit printed."""
    from rios_batch.aws.cloud import Cloud  # noqa: PLC0415
    from rios_batch.aws.faults import explained  # noqa: PLC0415
    from rios_batch.aws.scripts import ScriptJob  # noqa: PLC0415

    if is_campaign(job):
        cancel_campaign(Cloud.connect(), job, as_json=as_json)
        return
    script_job = ScriptJob(Cloud.connect(), job)
    with explained(f"job {job}"):
        script_job.describe()
        script_job.terminate()
    if as_json:
        show({"job": job, "terminated": True}, [], as_json=True)


# -- scripts of RIOS


@commands.command(
    "as-rios",
    context_settings={"allow_interspersed_args": False},
    short_help="Run a script that imports rios, unchanged.",
)
@click.argument("script", type=click.Path(path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def as_rios(*, script: Path, arguments: tuple[str, ...]) -> int:
    """Run a script for RIOS as `python SCRIPT` would, with rios_batch in place of rios.applier and its like.

    ARGUMENTS are the script's own.
    """
    from rios_batch.as_rios import run_script  # noqa: PLC0415

    _check_files([script])
    try:
        run_script(script, list(arguments))
    except Exception:  # noqa: BLE001 - the script's, whose traceback is as wanted as with `python script.py`
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


# -- what they share


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


def _print_until_the_end(job: ScriptJob, *, as_json: bool) -> int:
    from rios_batch.aws.faults import explained  # noqa: PLC0415

    try:
        with explained(f"job {job.job_id}"):
            for line in job.follow():
                show({"line": line}, [line], as_json=as_json)
    except KeyboardInterrupt:
        say(
            f"\nThe job goes on. `rios-batch follow {job.job_id}` shows it again, "
            f"`rios-batch terminate {job.job_id}` ends it."
        )
        return _INTERRUPTED
    if as_json:
        show({"exit_status": job.exit_status}, [], as_json=True)
    return job.exit_status


for _command in (plan, rehearse, replay, report, *RUN_COMMANDS):
    commands.add_command(_command)
