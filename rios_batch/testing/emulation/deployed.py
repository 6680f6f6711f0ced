"""An emulated AWS with the default stack, for a while."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rios_batch.testing.emulation.cloud import EmulationError, Emulator
from rios_batch.testing.emulation.leavings import leftovers, wait_for_jobs
from rios_batch.testing.emulation.template import default_template, pushed_tags

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def deployed(image: str | None = None) -> Iterator[Emulator]:
    """Start the emulation, deploy the stack into it, and see at the end that runs have left nothing.

    Parameters
    ----------
    image : a local image, of which workers are containers; None for processes.

    Raises
    ------
    EmulationError : something that runs must not leave is there.
    """
    template = default_template()
    with Emulator.start(runner="container" if image else "process", image=image, grace_seconds=5) as cloud:
        cloud.bootstrap()
        cloud.deploy(template, image_tags=pushed_tags(template))
        yield cloud
        wait_for_jobs(cloud)
        if left := leftovers(cloud):
            raise EmulationError(f"the run has left on AWS: {', '.join(left)}; please report that")
