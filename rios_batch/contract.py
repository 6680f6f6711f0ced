"""Names that the stack and the runtime share; each is written here and nowhere else.

``cdk_app`` sets them, ``rios_batch`` reads them, so a rename cannot reach only one side.
Standard library only: a deploying machine needs no GDAL and a computing one no CDK.
"""

from __future__ import annotations

from enum import StrEnum

CONTRACT_VERSION = 1
"""Raised whenever an output, environment key or command changes its meaning."""

DEFAULT_STACK_NAME = "RiosBatch"

# What a person sets to choose a stack; the names are those of RIOS 1.4.
ENV_STACK = "RIOS_AWSBATCH_STACK"
ENV_NUM_THREADS = "RIOS_DFLT_NUMTHREADS"
"""Workers on this machine where a script does not say how many; set for the mains of a campaign."""
ENV_STACK_REGION = "RIOS_AWSBATCH_REGION"

WORKER_MODULE = "rios_batch.worker"
WORKER_COMMAND = ("python3", "-m", WORKER_MODULE)
"""The whole command line of a worker. AWS Batch can replace an image's command but not its
entrypoint, so images of this project have no entrypoint and every job definition says all of it."""

SCRIPT_COMMAND = ("python3", "-m", "rios_batch.awsbatch.scriptjob")
"""Begins the command of a main job that `rios-batch submit` makes; the script's place, name and arguments follow."""

SCENE_COMMAND = ("python3", "-m", "rios_batch.awsbatch.scenejob")
"""Begins the command of the main jobs of `rios-batch submit --each`; the place of what they do follows."""

JOB_TAG = "rios-batch:stack"
"""Tag on every submitted job; terminating a job is allowed by this tag, because a job has no name
that a policy could match. Its value is the stack's name."""

RUNS_PREFIX = "runs/"
"""First part of the key of everything that belongs to one run."""
CAMPAIGN_MARK = "each-"
"""Begins the id of a campaign, which lies beside runs."""
POOL_MARK = "pool-"
"""Begins the id of workers that outlive a run; their notes lie beside runs."""
RESULT_FOLDERS = ("tiles/", "merged/", "failures/")
"""Folders of a run that workers write into. The rest is main's."""
SCRIPTS_PREFIX = "scripts/"
"""First part of the key of submitted scripts."""
IMAGES_PREFIX = "images/"
"""First part of the key of what workers have noted about their image."""


class Env(StrEnum):
    """Environment variables of a worker's container.

    The job definition sets those of the stack, ``SubmitJob`` adds those of the run, AWS Batch its own.
    """

    BUCKET = "RIOS_BATCH_BUCKET"
    REGION = "AWS_DEFAULT_REGION"  # boto3's, GDAL's and the user function's own name for it
    PROCESSES = "RIOS_BATCH_PROCESSES"
    GPUS = "RIOS_BATCH_GPUS"  # only where workers have some

    RUN_ID = "RIOS_BATCH_RUN_ID"
    JOB_SHA256 = "RIOS_BATCH_JOB_SHA256"
    INPUTS_SHA256 = "RIOS_BATCH_INPUTS_SHA256"
    QUEUE_URL = "RIOS_BATCH_QUEUE_URL"
    LEASE_SECONDS = "RIOS_BATCH_LEASE_SECONDS"

    # Of workers that outlive a run. A worker beside main has the number of main's turn.
    POOL_ID = "RIOS_BATCH_POOL_ID"
    IDLE_SECONDS = "RIOS_BATCH_IDLE_SECONDS"
    TURN = "RIOS_BATCH_TURN"

    BATCH_JOB_ID = "AWS_BATCH_JOB_ID"
    BATCH_ARRAY_INDEX = "AWS_BATCH_JOB_ARRAY_INDEX"


class StackOutput(StrEnum):
    """Keys of the stack's outputs. Those that RIOS 1.4 had mean the same here."""

    WORKER_QUEUE = "BatchProcessingJobQueueName"
    WORKER_DEFINITION = "BatchProcessingJobDefinitionName"
    MAIN_QUEUE = "BatchProcessingJobQueueMainName"
    MAIN_DEFINITION = "BatchProcessingJobDefinitionMainName"
    SCRIPT_DEFINITION = "BatchScriptJobDefinitionName"
    WORKER_VCPUS = "BatchVCPUS"
    WORKER_GPUS = "BatchGPUs"
    WORKER_MEMORY_MIB = "BatchMemoryMiB"
    MAX_VCPUS = "BatchMaxVCPUS"
    MAIN_VCPUS = "BatchMainVCPUS"
    MAIN_MEMORY_MIB = "BatchMainMemoryMiB"
    MAIN_REPOSITORY = "BatchECRMain"
    BUCKET = "BatchBucket"
    RUN_QUEUE_PREFIX = "RunQueuePrefix"
    WORKER_IMAGE = "WorkerImageUri"
    LOG_GROUP = "LogGroupName"
    SUBMITTER_POLICY = "SubmitterPolicyArn"
    PUBLISHER_POLICY = "ImagePublisherPolicyArn"
    PYTHON = "WorkerPython"
    VERSION = "RiosBatchVersion"
    CONTRACT = "ContractVersion"


def export_name(stack_name: str, output: StackOutput) -> str:
    """Name under which a stack exports an output; exports are unique in an account and region."""
    return f"{stack_name}-{output.value}"
