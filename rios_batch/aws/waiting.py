"""Jobs that wait for a machine: what Batch says of them means, and who may be at fault."""

from __future__ import annotations

import time
from dataclasses import dataclass

SUSPICIOUS_SECONDS = 600.0
"""A machine comes within a few minutes, if one comes."""

_QUOTAS = (
    "the account's quota of vCPUs is used up or too small: see L-34B43A08 (Spot) and L-1216C47A (on-demand) under "
    "Service Quotas, Amazon EC2, and ask for more"
)
# Parts of Batch's reasons, and what each means here.
_CAUSES = {
    "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY": (
        "AWS has no such machines free now: wait, or allow other instance types or on-demand machines in the stack's "
        "settings"
    ),
    "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE": (
        "one job needs more vCPUs than the stack may have: raise the stack's setting for most vCPUs"
    ),
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT": (
        "no allowed instance type has the vCPUs and the memory of one job: allow larger types in the stack's "
        "settings, or ask for less"
    ),
    "MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS": (
        "AWS Batch's own role lacks a permission: deploy the stack again"
    ),
    "MISCONFIGURATION:EC2_INSTANCE_CONFIGURATION_UNSUPPORTED": (
        "EC2 does not start machines of these types in this account and region: change an account on the free plan to "
        "the paid plan, or allow other instance types in the stack's settings"
    ),
    "VcpuLimitExceeded": _QUOTAS,
    "MaxSpotInstanceCountExceeded": _QUOTAS,
    "CannotPull": "the image cannot be fetched from ECR: deploy the stack again",
}
_UNKNOWN = (
    "an account on the free plan may not start such machines and must change to the paid plan; a new account may start "
    "few vCPUs (quotas L-34B43A08 for Spot and L-1216C47A for on-demand under Service Quotas, Amazon EC2); or AWS has "
    "no such machines free now, or the image cannot be fetched"
)


def likely_cause(reason: str) -> str:
    """Return in a sentence why a job waits for long.

    Parameters
    ----------
    reason : Batch's own, which may be empty.
    """
    return next((cause for text, cause in _CAUSES.items() if text in reason), _UNKNOWN)


@dataclass
class Wait:
    """How long jobs have waited without one of them running."""

    _since: float | None = None
    _said: bool = False

    def look(self, *, waits: bool, reason: str) -> str:
        """Return the likely cause, once in a wait that lasts for SUSPICIOUS_SECONDS; otherwise an empty text."""
        if not waits:
            self._since, self._said = None, False
            return ""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if self._said or now < self._since + SUSPICIOUS_SECONDS:
            return ""
        self._said = True
        return f"no machine has come in {SUSPICIOUS_SECONDS / 60:.0f} minutes; likely: {likely_cause(reason)}"
