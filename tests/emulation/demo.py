"""``python -m tests.emulation.demo SCENE FOLDER``: AWS Batch without AWS, from deploy to destroy."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.emulation.cloud import ROOT, Emulator
from tests.emulation.fixtures import leftovers, pushed_tags, wait_for_jobs
from tests.support import read_raster

WORKERS = 3


def main() -> None:
    scene, folder = (Path(argument).resolve() for argument in sys.argv[1:])
    say("Synthesizing the stack, as `npx cdk deploy` does.")
    template = synthesized()
    say("Starting an emulated AWS on this machine (moto); workers will be processes of this machine.")
    with Emulator.start() as cloud:
        cloud.bootstrap()
        before = cloud.inventory()
        outputs = cloud.deploy(template, image_tags=pushed_tags(template))
        say(f"Deployed: {len(template['Resources'])} resources, bucket {outputs['BatchBucket']}.")
        say(
            f"Running examples/vegetation_index.py with setJobManagerType('AWSBatch') and setNumThreads({WORKERS}):\n"
        )
        on_batch = folder / "excess_green_aws.tif"
        run_example(scene, on_batch, workers=WORKERS, manager="AWSBatch", environment=cloud.environment())
        wait_for_jobs(cloud)
        jobs = [f"  {job.job_id}: {job.status}" for job in cloud.jobs() if job.index is not None]
        say("\nThe array job's children:\n" + "\n".join(jobs))
        left = leftovers(cloud)
        say("\nRunning it again in one process of this machine, to compare:\n")
        with tempfile.TemporaryDirectory() as scratch:
            here = Path(scratch) / "here.tif"
            run_example(scene, here, workers=1, manager="in-process", environment={})
            same = np.array_equal(read_raster(on_batch), read_raster(here))
        cloud.destroy()
        left += sorted(set(cloud.inventory()) ^ set(before))
    say(f"\nThe pixels are {'the same, bit by bit' if same else 'NOT the same'}.")
    say(f"Left behind by the run and the stack: {', '.join(left) or 'nothing'}.")
    if left or not same:
        sys.exit("demo-aws: that is a defect")


def synthesized() -> dict[str, Any]:
    os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")
    from cdk_app.settings import DeploySettings  # noqa: PLC0415 - loading the CDK takes seconds
    from tests.cdk_app.variants import synthesize  # noqa: PLC0415

    return synthesize(DeploySettings())


def run_example(scene: Path, out: Path, *, workers: int, manager: str, environment: dict[str, str]) -> None:
    command = [sys.executable, "examples/vegetation_index.py", "--scene", str(scene), "--out", str(out)]
    command += ["--workers", str(workers), "--manager", manager]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=False)
    if done.returncode:
        sys.exit("demo-aws: the example failed; its message is above")


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - for a person


if __name__ == "__main__":
    main()
