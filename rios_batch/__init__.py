"""Run a Python function over whole rasters, tile by tile, on this machine or on AWS Batch.

The public API has RIOS's names: see :mod:`rios_batch.applier`.
"""

__version__ = "0.1.0"
