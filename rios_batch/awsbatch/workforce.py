"""Who would compute a run's tiles on AWS Batch; a stack that cannot be asked is taken for an ordinary one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rios_batch.model.forecast import Workforce

if TYPE_CHECKING:
    from rios_batch.aws.stackoutputs import StackOutputs
    from rios_batch.errors import JobMgrError
    from rios_batch.model.spec import RunOptions

USUAL_VCPUS = 2
"""vCPUs of a worker of a stack with default settings."""


def batch_workforce(stack: StackOutputs | JobMgrError, num_threads: int, options: RunOptions) -> Workforce:
    """Return who would compute.

    Parameters
    ----------
    stack : the stack, or why it cannot be asked.
    num_threads : workers, main's own included.
    options : whether main computes tiles itself, and what the run may cost.
    """
    known = None if isinstance(stack, Exception) else stack
    vcpus = known.worker_vcpus if known else USUAL_VCPUS
    return Workforce(
        workers=num_threads - 1,
        processes=known.worker_processes if known else vcpus,
        own_processes=0
        if options.coordinate_only or (known and known.worker_gpus)
        else min(vcpus, os.cpu_count() or 1),
        on_batch=True,
        memory_mib=known.worker_memory_mib if known else None,
        place=f"stack {known.stack_name}" if known else "the stack",
        max_usd=options.max_cost_usd,
        most=known.max_vcpus // vcpus if known else None,
        assumed=()
        if known
        else (f"{vcpus} vCPUs for each worker, since the stack cannot be asked: {stack}",),
    )
