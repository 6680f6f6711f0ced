"""The command line ``rios-batch``."""

from rios_batch.cli.program import commands, main

__all__ = ["commands", "main"]
