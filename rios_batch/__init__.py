"""Run a Python function over whole rasters, tile by tile, on this machine or on AWS Batch.

The public API has RIOS's names: see :mod:`rios_batch.applier`.
"""

try:
    from rios_batch._version import __version__
except ModuleNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
