"""Nothing survives the server, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rios_batch.testing.emulation.processes import is_alive

# A server of its own with one job, as bare as can be; it prints the job's process id and waits.
SCRIPT = """
import sys, time
from rios_batch.testing.emulation import Emulator

with Emulator.start() as cloud:
    iam, ec2, batch = cloud.client("iam"), cloud.client("ec2"), cloud.client("batch")
    role = iam.create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    network = {
        "subnets": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]],
        "securityGroupIds": [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]],
    }
    batch.create_compute_environment(
        computeEnvironmentName="environment", type="MANAGED", serviceRole=role,
        computeResources={"type": "FARGATE", "maxvCpus": 1, **network},
    )
    batch.create_job_queue(
        jobQueueName="queue", state="ENABLED", priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "environment"}],
    )
    batch.register_job_definition(
        jobDefinitionName="definition", type="container",
        containerProperties={"image": "i", "command": ["sleep", "600"], "resourceRequirements": [
            {"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}]},
    )
    batch.submit_job(jobName="j", jobQueue="queue", jobDefinition="definition")
    while not (job := cloud.jobs()[0]).handle:
        time.sleep(0.05)
    print(job.handle, cloud.server_pid, flush=True)
    sys.stdin.read()
"""
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("victim", ["server", "script"])
def test_jobs_and_folders_go_with_a_killed_server_and_the_server_with_a_killed_script(
    tmp_path: Path, victim: str
) -> None:
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # of the server's end
        text=True,
    )
    with script:
        assert script.stdout is not None
        job, server = (int(pid) for pid in script.stdout.readline().split())
        assert is_alive(job)
        os.kill(server if victim == "server" else script.pid, signal.SIGKILL)
        while is_alive(job) or is_alive(server) or any(tmp_path.iterdir()):
            time.sleep(0.05)
        script.communicate()
