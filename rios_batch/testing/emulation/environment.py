"""The environment variables that lead AWS clients, and GDAL, to the emulation."""

from __future__ import annotations

ACCOUNT = "123456789012"
ROOT_KEY = "testing"
"""Access key of the account's owner, who may do everything."""


def aws_environment(endpoint: str, region: str) -> dict[str, str]:
    """Variables for a process that is to see the emulation as AWS."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": ROOT_KEY,
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        # GDAL's: it reads AWS_ENDPOINT_URL in no release so far.
        "AWS_S3_ENDPOINT": endpoint.removeprefix("http://"),
        "AWS_HTTPS": "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }
