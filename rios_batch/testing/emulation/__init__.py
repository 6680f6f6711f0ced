"""An emulated AWS on this machine: moto in a process of its own, made to behave as AWS where it does not.

It takes a template of cdk_app, or the real `cdk` command line, and runs Batch jobs as processes or as
containers. Nothing in rios_batch or cdk_app knows of it; both reach it through ``AWS_ENDPOINT_URL``.

```python
with Emulator.start() as cloud:              # python -m rios_batch.testing.emulation.server, until the block ends
    os.environ.update(cloud.environment())   # for boto3, the CDK's command line and GDAL
    cloud.bootstrap()                        # the parts of `cdk bootstrap` that a template refers to
    before = cloud.inventory()
    outputs = cloud.deploy(template, image_tags=pushed_tags(template))  # checked resource by resource
    ...
    cloud.destroy()
    assert cloud.inventory() == before
```

Asked:

- ``inventory()`` lists everything that exists; ``calls()`` every request with service, operation, caller, status,
  bytes and what IAM asked for; ``jobs()`` all jobs, with the process id or container while they run.

Spoiled:

- ``slow_down(service, share)``, ``limit_capacity(vcpus)``, ``duplicate_messages(True)``,
  ``be_late(queues_s=1, jobs_s=1)``, ``lose_message(queue_url)``, ``signal_job(job_id, signal, ...)``.
- ``enforce_iam(True)`` checks every request against the policies of its caller, resources and conditions
  included; ``assume_role``, ``user_with(policy_arn)`` and ``without_action(holder, action)`` go with it.
  ``take_role_back(role)`` is what IAM Identity Center alone can do.

`template` has the default stack's template, `leavings` what runs should not leave. In the project's own tests the
fixture ``cloud`` has the stack deployed. By hand: ``python -m rios_batch.testing.emulation.server --port 5000``.

Where things are: `cloud` is the asking side; in the server `middleware` stands before moto and sees every
request (`recognise`, `permissions`), `batch` with `runners` and `attempts` lives the jobs, `cloudformation`
with `resources` and `customresources` the stacks, `refusals` is what AWS does not let go, `queues` is SQS, `copies` is
S3's copying of parts, `control` answers to `cloud`, and `reaper` ends what a killed server leaves.
"""

from rios_batch.testing.emulation.cloud import EmulationError, Emulator
from rios_batch.testing.emulation.records import Call, Job

__all__ = ["Call", "EmulationError", "Emulator", "Job"]
