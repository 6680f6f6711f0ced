"""What the commands do with a campaign: a script that is run on each line of a list (``rios-batch submit --each``)."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from rios_batch.cli.output import say, show
from rios_batch.contract import CAMPAIGN_MARK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rios_batch.aws.cloud import Cloud
    from rios_batch.awsbatch.campaign import Campaign

INTERRUPTED = 130


def is_campaign(name: str) -> bool:
    """Say whether a name is a campaign's, and not a run's or a job's."""
    return name.startswith(CAMPAIGN_MARK)


def submit_each(
    cloud: Cloud,
    list_file: Path,
    files: Sequence[Path],
    arguments: Sequence[str],
    *,
    resume: bool,
    detach: bool,
    as_json: bool,
) -> int:
    """Submit a script for each line of a list, follow the campaign unless detached, and return the exit status."""
    from rios_batch.awsbatch.campaign import submit_campaign  # noqa: PLC0415

    campaign, listed = submit_campaign(cloud, list_file, files, arguments, resume=resume)
    for line, earlier in listed.repeated:
        say(f"line {line} is line {earlier} again, and is not run twice")
    if detach:
        show({"campaign": campaign.campaign_id}, [campaign.campaign_id], as_json=as_json)
        return 0
    if not as_json:
        show(None, [f"[campaign {campaign.campaign_id}]"], as_json=False)
    return _follow(campaign, as_json=as_json)


def follow_campaign(cloud: Cloud, campaign_id: str, *, as_json: bool) -> int:
    """Print how a campaign goes until its end, and return 0 if all its scenes are done."""
    from rios_batch.awsbatch.campaign import Campaign  # noqa: PLC0415

    return _follow(Campaign(cloud, campaign_id), as_json=as_json)


def show_campaign(cloud: Cloud, campaign_id: str, *, as_json: bool) -> None:
    """Print how a campaign is, with every scene that has failed."""
    from rios_batch.awsbatch.campaign import Campaign, status_lines  # noqa: PLC0415

    found = Campaign(cloud, campaign_id).status()
    show(asdict(found), status_lines(found), as_json=as_json)


def show_campaign_log(cloud: Cloud, campaign_id: str, line: int | None, *, as_json: bool) -> None:
    """Print what the mains of a campaign have printed, or that of one line of the list."""
    from rios_batch.awsbatch.campaign import Campaign  # noqa: PLC0415

    for number, text in Campaign(cloud, campaign_id).log(line):
        show({"line": number, "text": text}, [f"line {number} | {text}"], as_json=as_json)


def cancel_campaign(cloud: Cloud, campaign_id: str, *, as_json: bool) -> None:
    """End the mains of a campaign."""
    from rios_batch.awsbatch.campaign import Campaign  # noqa: PLC0415

    campaign = Campaign(cloud, campaign_id)
    before = campaign.status()
    campaign.cancel()
    kept = f"{before.done} of {before.scenes} lines are done; for the others: {before.command}"
    show({"campaign": campaign_id, "done": before.done, "scenes": before.scenes}, [kept], as_json=as_json)


def _follow(campaign: Campaign, *, as_json: bool) -> int:
    from rios_batch.awsbatch.campaign import status_lines, summary  # noqa: PLC0415

    try:
        for found in campaign.looks():
            show(asdict(found), [f"[lines: {summary(found)}]"], as_json=as_json)
    except KeyboardInterrupt:
        say(
            f"\nThe campaign goes on. `rios-batch watch {campaign.campaign_id}` shows it again, "
            f"`rios-batch cancel {campaign.campaign_id}` ends it."
        )
        return INTERRUPTED
    if not as_json:
        show(None, status_lines(found), as_json=False)
    return int(found.done < found.scenes)
