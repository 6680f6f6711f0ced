"""Whether a worker's memory can do, as far as that is certain before anything is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rios_batch.errors import MemoryLimitError
from rios_batch.model.forecast import MIB

if TYPE_CHECKING:
    from rios_batch.aws.stackoutputs import StackOutputs
    from rios_batch.model.spec import RunSpec


def check_memory(spec: RunSpec, pickled_bytes: int, stack: StackOutputs) -> None:
    """Refuse a run whose workers cannot even hold what every run holds.

    That is the inputs of a block for each worker process, and the job. What the function makes of these is not known,
    so that nothing is refused that could have worked; a dry run predicts all of it.

    Parameters
    ----------
    pickled_bytes : the job: function and otherArgs.

    Raises
    ------
    MemoryLimitError : says what is needed and what there is.
    """
    needed = pickled_bytes + stack.worker_processes * block_bytes(spec)
    if needed > stack.worker_memory_mib * MIB:
        raise MemoryLimitError(
            f"a worker takes at least {needed // MIB:,} MiB for the inputs of {stack.worker_processes} blocks at a "
            f"time, and may take {stack.worker_memory_mib:,} MiB (memory_mib of stack {stack.stack_name}); use a "
            "smaller window (setWindowSize) or fewer bands (selectInputImageLayers), or deploy with "
            f"`-c memory_mib={-(-needed * 2 // MIB)}`"
        )


def block_bytes(spec: RunSpec) -> int:
    """Return what the arrays of the first block take, which all are in memory when the function is called.

    Inputs that a function gets as None outside of their file are left out.
    """
    window = spec.plan.blocks.window(0, 0).grown(spec.overlap_px)
    return sum(
        len(file.layers) * np.dtype(file.dtype).itemsize * window.size_px
        for input_spec in spec.inputs
        if not input_spec.outside_as_none
        for file in input_spec.files
    )
