"""Runs a script on one line of a list: ``python -m rios_batch.awsbatch.scenejob s3://bucket/key SHA256``.

AWS Batch starts one for each scene of a campaign, as an array job. How the scene went is left in the exchange bucket.
A main that the kernel ends leaves nothing there; AWS Batch knows of its end.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from rios_batch.awsbatch.campaignstore import CampaignStore, fetch_attempt
from rios_batch.awsbatch.scriptjob import TERMINATED, end_in_good_order, exchange_bucket, run_sent_script
from rios_batch.contract import RUNS_PREFIX, Env
from rios_batch.errors import text_of
from rios_batch.model.s3names import S3Name

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST_REASON = 500


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the script on the line that this main's place in the array says."""
    end_in_good_order()
    location, sha256 = sys.argv[1:] if arguments is None else arguments
    bucket, key = exchange_bucket(location), S3Name.parse(location).key
    attempt = fetch_attempt(bucket, key, sha256, int(os.environ.get(Env.BATCH_ARRAY_INDEX, "0")))
    (scene,) = attempt.scenes
    store = CampaignStore(bucket, key.removeprefix(RUNS_PREFIX).partition("/")[0])
    print(f"[{scene}]", flush=True)  # noqa: T201 - the first line of its log
    try:
        run_sent_script(bucket, attempt.location, attempt.sha256, attempt.script, scene.arguments)
    except BaseException as error:
        if not isinstance(error, SystemExit):
            store.put_failed(attempt, scene, _shortened(f"{type(error).__name__}: {text_of(error)}"))
            raise
        if error.code == TERMINATED:  # the job was ended, or its machine is lost: then it is started again
            raise
        if error.code not in (None, 0):
            told = f"exit status {error.code}" if isinstance(error.code, int) else str(error.code)
            store.put_failed(attempt, scene, _shortened(told))
            raise
    store.put_done(scene)


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]} ..."


if __name__ == "__main__":
    main()
