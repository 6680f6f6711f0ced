"""What all commands of ``rios-batch`` print with: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def show(data: Any, lines: Iterable[str], *, as_json: bool) -> None:
    """Print a result: one line of JSON, or lines for a person."""
    for line in [json.dumps(data, default=str)] if as_json else lines:
        click.echo(line)


def say(text: str) -> None:
    """Print what is for a person and no result."""
    click.echo(text, err=True)
