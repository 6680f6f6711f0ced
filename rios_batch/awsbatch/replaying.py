"""A tile of a run on AWS Batch, computed once more on this machine as a worker there computes it."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from rios_batch.aws.jobs import WorkerJobs
from rios_batch.awsbatch.failurerecord import Failure, failure_of
from rios_batch.awsbatch.imagepackages import noted_image
from rios_batch.awsbatch.runinfo import existing_run
from rios_batch.awsbatch.stagedinputs import paths_on_worker
from rios_batch.awsbatch.starting import last_main
from rios_batch.awsbatch.versions import differing_versions, versions
from rios_batch.contract import Env
from rios_batch.errors import (
    JobMgrError,
    ParameterError,
    UnloadableJobError,
    VersionMismatchError,
    WorkerLostError,
)
from rios_batch.jobmanagers.children import Death, TileFailure, WorkOrder
from rios_batch.jobmanagers.measuring import compute_one_tile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rios_batch.aws.cloud import Cloud
    from rios_batch.awsbatch.runstore import RunStore
    from rios_batch.model.tileresult import TileRecord
    from rios_batch.model.tiles import Tile

HERE = "this machine"
_MIB = 2**20
_ADVICE = "most likely memory ran out: use a smaller window or tile (setTileSize)"


@dataclass(frozen=True)
class ReplayJob:
    """A tile with all that computes it.

    Attributes
    ----------
    run_id : the run.
    tile : the tile.
    order : function, otherArgs, and where the inputs are.
    failed : how the tile failed there, one of the times; None if it has not.
    differences : what is known to be different here, as sentences.
    image_known : it is known what is in the workers' image.
    """

    run_id: str
    tile: Tile
    order: WorkOrder
    failed: Failure | None
    differences: tuple[str, ...]
    image_known: bool


@dataclass(frozen=True)
class Replayed:
    """What became of the tile here.

    Attributes
    ----------
    failed : how it failed; None if it passes.
    record : how long it took; None if it failed.
    peak_mib : the most memory that its process took; None if that is not known.
    """

    failed: Failure | None
    record: TileRecord | None
    peak_mib: int | None


def fetch_replay(cloud: Cloud, run_id: str, index: int | None, folder: Path) -> ReplayJob:
    """Fetch what computes a tile, as a worker does, and verify it with what the workers were told.

    Parameters
    ----------
    index : of the tile; None for the first that has failed.
    folder : where inputs go that GDAL cannot read from S3.

    Raises
    ------
    JobMgrError : there is no such run, Batch has forgotten its workers, or an object is not what main has stored.
    VersionMismatchError : the run was begun with versions whose pickles cannot be read here.
    ParameterError : there is no such tile, or none has failed.
    """
    store = existing_run(cloud, run_id)
    description = store.description()
    if wrong := differing_versions(description["versions"], versions()):
        said = "; ".join(f"{name} {there} there, {here} here" for name, (there, here) in wrong.items())
        raise VersionMismatchError(
            f"run {run_id} cannot be replayed here, it was begun with other versions: {said}; install those"
        )
    told = _told_to_workers(cloud, store)
    pickled = pickle.loads(store.job(told.get(Env.JOB_SHA256, "")))  # noqa: S301 - verified like by a worker
    plan = pickled["plan"]
    if index is None:
        index = _first_failed(store)
    if not 0 <= index < len(plan):
        raise ParameterError(f"run {run_id} has tiles 0 to {len(plan) - 1}, not {index}")
    failures = [store.failure(key) for key in store.failures(index)]
    differences = _differences(cloud, description["image"], pickled["packages"])
    return ReplayJob(
        run_id,
        replace(plan.tile(index), compressions=store.compressions()),
        WorkOrder(
            spec=pickled["spec"],
            other_args=pickled["other_args"],
            num_workers=1,
            place=HERE,
            input_paths=paths_on_worker(
                store.staged_inputs(told.get(Env.INPUTS_SHA256, "")), store.bucket, folder
            ),
            cloud_options=pickled["cloud_options"],
            packages=pickled["packages"],
            environment=pickled["environment"],
        ),
        failures[-1] if failures else None,
        differences or (),
        image_known=differences is not None,
    )


def replay(job: ReplayJob) -> Replayed:
    """Compute the tile in a process of its own.

    Raises
    ------
    JobMgrError : function or otherArgs cannot be loaded here, or no process can be started.
    """
    found = compute_one_tile(job.order, job.tile)
    peak_mib = None if found.memory is None else found.memory.peak // _MIB
    if isinstance(found.reply, Death):
        error = WorkerLostError(f"its process ended by {found.reply.explained(_ADVICE)}")
        return Replayed(failure_of(error, job.tile.index, HERE, stops_run=True), None, peak_mib)
    try:
        result = found.reply.unwrap() if isinstance(found.reply, TileFailure) else found.reply
    except UnloadableJobError as error:
        raise JobMgrError(unloadable(job, error)) from error
    except BaseException as error:  # noqa: BLE001 - it is what was asked for
        return Replayed(failure_of(error, job.tile.index, HERE, stops_run=True), None, peak_mib)
    return Replayed(None, result.record, peak_mib)


def unloadable(job: ReplayJob, error: Exception) -> str:
    """Return the sentence for a job that cannot be loaded here."""
    wanted = " ".join(f"{name}=={found}" for name, found in (job.order.packages or {}).items())
    cure = f"; install what it was sent with: pip install {wanted}" if wanted else ""
    return f"run {job.run_id} cannot be replayed here: {str(error).partition(';')[0]}{cure}"


def same_failure(there: Failure, here: Failure) -> bool:
    """Say whether two failures are of the same kind."""
    return (there.kind, there.exception_type) == (here.kind, here.exception_type)


def _told_to_workers(cloud: Cloud, store: RunStore) -> Mapping[str, str]:
    """Return the environment that the workers were submitted with.

    What lies in the bucket may have been written by others; what a job was submitted with cannot be changed.
    """
    last = last_main(cloud, store)
    jobs = WorkerJobs.find(cloud.batch, cloud.stack_outputs, last[1]) if last else None
    if jobs is None:
        raise JobMgrError(
            f"run {store.run_id} has no workers that AWS Batch knows (it forgets them a week after their end): only "
            "these were told which function is the run's, so nothing is loaded; run the script again"
        )
    return jobs.environment()


def _first_failed(store: RunStore) -> int:
    for key in store.failures():
        if (index := store.failure(key).tile) is not None:
            return index
    raise ParameterError(f"no tile of run {store.run_id} has failed; name one: rios-batch replay RUN TILE")


def _differences(cloud: Cloud, image: str, packages: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return what is different in the workers' image, as far as the run uses it; None if nothing is known of it."""
    noted = noted_image(cloud.bucket, image)
    if noted is None:
        return None
    there: dict[str, Any] = {**noted.versions, **{name: noted.packages.get(name) for name in packages}}
    here: dict[str, Any] = {**versions(), **{name: _installed(name) for name in packages}}
    return tuple(
        f"{name} is {there[name] or 'missing'} in the workers' image, {here.get(name) or 'missing'} here"
        for name in there
        if there[name] != here.get(name)
    )


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
