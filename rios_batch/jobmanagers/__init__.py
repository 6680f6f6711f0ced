"""How tiles are handed out: one small base class, and a registry by RIOS's names."""

from __future__ import annotations

from rios_batch.jobmanagers import local, workerprocesses  # noqa: F401 - importing registers them
from rios_batch.jobmanagers.base import (
    GeneratorRun,
    JobManager,
    Run,
    getAvailableJobManagerTypes,
    getJobManagerClassByType,
)

__all__ = ["GeneratorRun", "JobManager", "Run", "getAvailableJobManagerTypes", "getJobManagerClassByType"]
