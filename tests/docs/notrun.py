"""The fenced pieces of the docs that ``test_snippets.py`` does not run, and why; by page and the piece's beginning."""

from __future__ import annotations

_ACCOUNT = "asks or changes an AWS account of the reader's"
_STACK = "needs an AWS account and Docker; with an emulated account it is run by tests/e2e/test_on_aws.py"

# A reason that names a file of tests says where the same is run with other names.
NOT_RUN: dict[tuple[str, str], str] = {
    # -- an account of the reader's
    ("aws-account.md", "aws service-quotas get-service-quota"): _ACCOUNT,
    ("aws-account.md", "aws service-quotas request-service-quota-increase"): _ACCOUNT,
    ("aws-account.md", "aws iam create-service-linked-role"): _ACCOUNT,
    ("aws-account.md", "make synth"): _STACK,
    ("infrastructure.md", "make synth"): _STACK,
    ("quick-start/aws.md", "make synth"): _STACK,
    ("aws-batch.md", "output() {"): _STACK,
    (
        "aws-account.md",
        "make smoke-aws",
    ): "an hour on an AWS account; its steps are run by tests/e2e/test_smoke.py",
    (
        "campaigns.md",
        "PIP_PACKAGES=",
    ): "needs machines with GPUs; tests/cdk_app/test_cdk_combinations.py synthesises such",
    (
        "cookbook/neural-network.md",
        "class Classes(torch.nn.Module)",
    ): "needs torch, some gigabytes; tests/examples/test_whole_tasks.py runs the recipe with a small network",
    # -- runs on AWS Batch with files of the reader's; on the emulation the tests run the same with their own
    (
        "aws-account.md",
        "python myscript.py",
    ): "reads and writes S3, as tests/emulated/test_awsbatch_s3.py does",
    ("aws-batch.md", "rios-batch submit"): "submits a script, as tests/emulated/test_submit.py does",
    ("aws-batch.md", "RIOS_AWSBATCH_RESUME="): "resumes a run, as tests/awsbatch/test_resuming.py does",
    (
        "campaigns.md",
        "rios-batch submit --each",
    ): "submits a campaign, as tests/awsbatch/test_campaign.py does",
    ("operations.md", "make setup"): "run by tests/emulated/test_three_commands.py",
    ("operations.md", "pip install"): "installs, and rehearses as tests/emulated/test_rehearse.py does",
    ("operations.md", "rios-batch doctor"): "looks at buckets, as tests/emulated/test_doctor.py does",
    ("quick-start/aws.md", "make setup"): "rehearses as tests/emulated/test_three_commands.py does",
    ("quick-start/aws.md", "rios-batch doctor"): "looks at the stack, as tests/emulated/test_doctor.py does",
    ("quick-start/local.md", "make demo"): "fetches data; a step of .ci/run",
    # -- installing
    (
        "install.md",
        "sudo apt-get install python3-gdal",
    ): "installs system packages; a step of .ci/run does the rest",
    ("install.md", "conda create"): "needs conda, which CI has not; the page says so",
    ("install.md", "sudo apt-get install libgdal-dev"): "compiles for minutes against the headers of libgdal",
    # -- Python
    ("campaigns.md", "from rios_batch import applier, batch"): "run on its own, with an emulated AWS",
    (
        "campaigns.md",
        "from dask_jobqueue",
    ): "needs SLURM; tests/contract/test_dask.py has a cluster on this machine",
    (
        "design.md",
        "with manager.start(",
    ): "the inside of apply, which tests/contract/test_job_managers.py runs",
    ("design.md", "from contextlib import closing"): "run by tests/testing/test_job_manager_suite.py",
    ("design.md", "import one_by_one"): "run by tests/testing/test_job_manager_suite.py",
    (
        "decisions/0014-a-run-is-an-object.md",
        "run = manager.start(",
    ): "what was decided, in the words of that day",
}
