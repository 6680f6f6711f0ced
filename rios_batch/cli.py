"""The command line: argument parsing and wiring only."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import rios_batch

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="rios-batch", description=(rios_batch.__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--version", action="version", version=f"rios_batch {rios_batch.__version__}")
    parser.parse_args(arguments)
    parser.print_help()
    return 0
