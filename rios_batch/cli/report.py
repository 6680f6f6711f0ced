"""``rios-batch report``: how a run goes, as a page for a browser."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from rios_batch.cli.output import as_json_option, say, show


@click.command(short_help="Write how a run goes as a page for a browser.")
@click.option("-o", "--output", metavar="FILE", help="Where to, a file or s3://...; default report-RUN.html.")
@click.option("--open", "opened", is_flag=True, help="Open it in a browser.")
@as_json_option
@click.argument("run_id", metavar="RUN")
def report(*, run_id: str, output: str | None, opened: bool, as_json: bool) -> None:
    """Write a page about a run that has not finished: maps of its tiles, its workers in time, what failed, its cost.

    A finished run leaves nothing to report of. Have it write its own page: controls.setReport("report.html").
    """
    from rios_batch.assemble.reporting import check_place, write_report  # noqa: PLC0415
    from rios_batch.aws.cloud import Cloud  # noqa: PLC0415
    from rios_batch.awsbatch.runpage import unfinished_run  # noqa: PLC0415

    path = output or f"report-{run_id}.html"
    check_place(path)
    write_report(path, unfinished_run(Cloud.connect(), run_id))
    show({"report": path}, [path], as_json=as_json)
    if opened:
        open_page(path)


def open_page(path: str) -> None:
    """Open a page in a browser.

    Raises
    ------
    click.UsageError : the page is an object in S3.
    """
    if path.startswith("s3://"):
        raise click.UsageError("--open shows files; leave it out, or give a file in place of s3://")
    if not webbrowser.open(Path(path).absolute().as_uri()):
        say(f"There is no browser here; open {path} in one.")
