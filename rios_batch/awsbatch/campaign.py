"""A script run on each line of a list, as one array job of mains: submitting the job, and seeing how it goes."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rios_batch.aws.jobs import LARGEST_ARRAY, JobReport, WorkerJobs
from rios_batch.aws.scripts import JobLog, send_script
from rios_batch.awsbatch.campaignstore import Attempt, CampaignStore, new_campaign_id, newest_campaign
from rios_batch.awsbatch.scenelist import read_scenes
from rios_batch.contract import ENV_NUM_THREADS, SCENE_COMMAND
from rios_batch.errors import JobMgrError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rios_batch.aws.cloud import Cloud
    from rios_batch.awsbatch.scenelist import Scene, SceneList

LOOK_SECONDS = 10.0
CANCELLED = "the campaign was cancelled (rios-batch cancel)"


@dataclass(frozen=True)
class FailedScene:
    """A scene that has failed: its line in the list, the script's arguments, and why."""

    line: int
    arguments: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        return f"line {self.line} ({shlex.join(self.arguments)}): {self.reason}"


@dataclass(frozen=True)
class CampaignStatus:
    """How a campaign is.

    Attributes
    ----------
    campaign_id : the campaign.
    command : what its scenes that are not done are submitted with.
    mains : what Batch says of the mains of the last submission; None if Batch has forgotten them.
    scenes : number of scenes of the list.
    done : number of those that are done, by this or an earlier submission.
    running : lines that a main works on.
    failed : what has failed in the last submission.
    """

    campaign_id: str
    command: str
    mains: JobReport | None
    scenes: int
    done: int
    running: tuple[int, ...]
    failed: tuple[FailedScene, ...]

    @property
    def not_run(self) -> int:
        """Return how many scenes wait, or were not run before the campaign was ended."""
        return self.scenes - self.done - len(self.failed) - len(self.running)

    @property
    def has_ended(self) -> bool:
        return self.mains is None or self.mains.all_ended


def submit_campaign(
    cloud: Cloud, list_file: Path, files: Sequence[Path], arguments: Sequence[str], *, resume: bool
) -> tuple[Campaign, SceneList]:
    """Submit a script for each line of a list, and return the campaign and what was read of the list.

    Parameters
    ----------
    files : the script, and what it finds beside it.
    arguments : of the script, with ``{}`` for the line.
    resume : go on with the newest campaign of this command: only what is not done is run.

    Raises
    ------
    ParameterError : the list cannot be used.
    JobMgrError : there is no campaign to go on with, it still runs, or it has nothing left to do.
    """
    listed = read_scenes(list_file.read_bytes(), list_file.name, arguments)
    script = files[0].name
    campaign_id = newest_campaign(cloud.bucket, list_file.name, script, arguments) if resume else None
    if resume and campaign_id is None:
        raise JobMgrError(
            f"there is no campaign of {list_file.name}, {script} and these arguments to go on with, or none any more; "
            "leave --resume out"
        )
    number, done, before = 1, frozenset[str](), None
    if campaign_id is not None:
        earlier = Campaign(cloud, campaign_id)
        before, done = earlier.to_go_on_from(), earlier.store.done()
        number = before.number + 1
    to_do = tuple(place for place, scene in enumerate(listed.scenes) if scene.key not in done)
    _check_number(to_do, list_file.name)
    campaign_id = campaign_id or new_campaign_id(list_file.name, script, arguments)
    sent = send_script(cloud.bucket, files)
    command = _command(list_file, files, arguments)
    attempt = Attempt(number, command, script, sent.location, sent.sha256, listed.scenes, to_do)
    location, sha256 = CampaignStore(cloud.bucket, campaign_id).put_attempt(attempt)
    jobs = WorkerJobs(
        cloud.batch, cloud.stack_outputs, _job_name(campaign_id, number), (*SCENE_COMMAND, location, sha256)
    )
    jobs.submit(len(to_do), {ENV_NUM_THREADS: str(cloud.stack_outputs.main_vcpus)})
    return Campaign(cloud, campaign_id, (attempt, jobs)), listed


def _check_number(to_do: Sequence[int], list_name: str) -> None:
    if not to_do:
        raise JobMgrError(f"all lines of {list_name} are done; there is nothing to go on with")
    if len(to_do) > LARGEST_ARRAY:
        raise ParameterError(
            f"{list_name} has {len(to_do):,} lines to run, and AWS Batch takes {LARGEST_ARRAY:,} at a time; split the "
            "list into files of at most so many lines, and submit each"
        )


def _job_name(campaign_id: str, number: int) -> str:
    return f"rios-batch-{campaign_id}-{number:04d}"


class Campaign:
    """A campaign that was submitted, here or elsewhere.

    Parameters
    ----------
    submitted : what was submitted here just now, which AWS Batch may not list yet; None for the last submission.

    Raises
    ------
    JobMgrError : (every method) there is no such campaign, or none any more.
    AWSError, S3Error : (every method) AWS refuses.
    """

    def __init__(
        self, cloud: Cloud, campaign_id: str, submitted: tuple[Attempt, WorkerJobs | None] | None = None
    ) -> None:
        self._cloud, self.campaign_id = cloud, campaign_id
        self._found = submitted
        self.store = CampaignStore(cloud.bucket, campaign_id)
        self._reasons: dict[str, str] = {}

    def status(self) -> CampaignStatus:
        """Ask how the campaign is. The number of requests does not grow with the scenes that are done."""
        attempt, jobs = self._last()
        report = jobs.report() if jobs else None  # before the list of what is done, which only grows
        running = jobs.in_state("RUNNING") if jobs and report and report.running else {}
        done = self.store.done()
        self._reasons = self.store.failed(attempt, self._reasons)
        scenes = [attempt.scenes[place] for place in attempt.to_do]
        reasons = {
            number: self._reasons[scene.key]
            for number, scene in enumerate(scenes)
            if scene.key in self._reasons
        }
        if jobs and report and report.counts.get("FAILED", 0) > len(reasons):
            ended = jobs.in_state("FAILED")
            reasons = {number: why for number, why in ended.items() if CANCELLED not in why} | reasons
        open_ = {number for number, scene in enumerate(scenes) if scene.key not in done}
        return CampaignStatus(
            campaign_id=self.campaign_id,
            command=shlex.join(attempt.command),
            mains=report,
            scenes=len(attempt.scenes),
            done=sum(scene.key in done for scene in attempt.scenes),
            running=tuple(
                scenes[number].line for number in sorted(running) if number in open_ - reasons.keys()
            ),
            failed=tuple(
                _failed(scenes[number], reasons[number]) for number in sorted(open_ & reasons.keys())
            ),
        )

    def looks(self) -> Iterator[CampaignStatus]:
        """Yield how the campaign is, now and whenever something has changed, until its end."""
        said = None
        while True:
            found = self.status()
            if replace(found, mains=None) != said or found.has_ended:
                yield found
            said = replace(found, mains=None)
            if found.has_ended:
                return
            time.sleep(LOOK_SECONDS)

    def cancel(self) -> None:
        """End all mains; what is done stays."""
        _, jobs = self._last()
        if jobs:
            jobs.terminate(CANCELLED)

    def to_go_on_from(self) -> Attempt:
        """Return the last submission, which must have ended.

        Raises
        ------
        JobMgrError : it still runs.
        """
        attempt, jobs = self._last()
        if jobs and not (report := jobs.report()).all_ended:
            raise JobMgrError(
                f"campaign {self.campaign_id} still runs ({report}); wait for its end, or end it by "
                f"`rios-batch cancel {self.campaign_id}`"
            )
        return attempt

    def log(self, line: int | None) -> Iterator[tuple[int, str]]:
        """Yield what the mains of the last submission have printed so far, each line with its scene's.

        Parameters
        ----------
        line : of the list, whose main is meant; None for all.

        Raises
        ------
        ParameterError : the last submission has no such line.
        """
        attempt, jobs = self._last()
        lines = [attempt.scenes[place].line for place in attempt.to_do]
        if line is not None and line not in lines:
            raise ParameterError(
                f"the last submission of campaign {self.campaign_id} has not run line {line}; it has run {len(lines)} "
                "lines, see `rios-batch status`"
            )
        if jobs is None:
            raise JobMgrError(f"AWS Batch has forgotten the jobs of campaign {self.campaign_id}")
        wanted = range(len(lines)) if line is None else [lines.index(line)]
        log = JobLog(self._cloud)
        for place, job in zip(wanted, jobs.children(wanted), strict=True):
            for text in log.new_lines(job.get("container", {}).get("logStreamName", "")):
                yield lines[place], text

    def _last(self) -> tuple[Attempt, WorkerJobs | None]:
        """Return the last submission and its mains, which are None if AWS Batch does not know them (any more)."""
        if self._found is None:
            attempt = self.store.newest_attempt()
            name = _job_name(self.campaign_id, attempt.number)
            cloud = self._cloud
            self._found = attempt, WorkerJobs.find(cloud.batch, cloud.stack_outputs, name, SCENE_COMMAND)
        return self._found


def _failed(scene: Scene, reason: str) -> FailedScene:
    return FailedScene(scene.line, scene.arguments, reason or "ended without a word")


def _command(list_file: Path, files: Sequence[Path], arguments: Sequence[str]) -> tuple[str, ...]:
    beside = [word for file in files[1:] for word in ("--with", str(file))]
    return (
        "rios-batch", "submit", "--each", str(list_file), *beside, "--resume", str(files[0]), *arguments
    )  # fmt: skip


def status_lines(status: CampaignStatus) -> Iterator[str]:
    """Yield how a campaign is, a fact a line; every scene that has failed has a line."""
    yield f"campaign  {status.campaign_id}"
    yield f"mains     {status.mains or 'none that AWS Batch still knows'}"
    yield f"lines     {summary(status)}"
    if status.running:
        yield f"running   line {', '.join(map(str, status.running))}"
    for scene in status.failed:
        yield f"failed    {scene}"
    if status.has_ended and status.done < status.scenes:
        yield f"go on     {status.command}"


def summary(status: CampaignStatus) -> str:
    """Return how a campaign is, in one line."""
    what = "not run" if status.has_ended else "waiting"
    return (
        f"{status.done} of {status.scenes} done, {len(status.failed)} failed, {len(status.running)} running, "
        f"{status.not_run} {what}"
    )
