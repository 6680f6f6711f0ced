"""The Python of the workers' image: main pickles for it, so it has to be that of the scripts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cdk_app.fields import SettingFields

BASE_IMAGES = {
    "3.11": "public.ecr.aws/docker/library/debian:bookworm-20261005-slim",
    "3.12": "public.ecr.aws/docker/library/ubuntu:24.04",
    "3.13": "public.ecr.aws/docker/library/debian:trixie-20261005-slim",
}
"""For each Python the distribution that has it, with a GDAL built for it."""
UNKNOWN = "unknown"


def pythons_here() -> str:
    """Give the version of the Python that runs the app, such as 3.13."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def base_image(settings: SettingFields) -> str:
    """Give the image to start from: the one that is set, or the one with the right Python."""
    return settings.base_image or BASE_IMAGES[workers_python(settings)]


def workers_python(settings: SettingFields) -> str:
    """Give the version of Python that workers will have; unknown for an image that nobody described."""
    if settings.python:
        return settings.python
    return UNKNOWN if settings.base_image or settings.worker_image else pythons_here()


def announcement(settings: SettingFields) -> str:
    """Say which Python workers will have, and why."""
    version = workers_python(settings)
    if version == UNKNOWN:
        image = settings.worker_image or settings.base_image
        return (
            f"workers will have the Python of {image}; say which with python, so that scripts can be checked"
        )
    why = (
        "as set"
        if settings.python
        else "as the python3 that runs this; set python if scripts use another one"
    )
    return f"workers will have Python {version}, {why}"
