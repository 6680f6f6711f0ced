"""What is installed in the workers' image.

AWS tells main nothing of it. So a worker of each run notes it in the exchange bucket, and the next main compares before
main submits anything. The very first run on an image learns it from the first worker that cannot load the job.
"""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import distributions
from typing import TYPE_CHECKING

from rios_batch.awsbatch.versions import versions
from rios_batch.contract import IMAGES_PREFIX
from rios_batch.errors import MissingObjectError
from rios_batch.jobmanagers.modules import differing_packages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rios_batch.aws.objects import Bucket


@dataclass(frozen=True)
class NotedImage:
    """What is in an image.

    Attributes
    ----------
    packages : versions of all Python packages.
    versions : those that main and workers compare.
    machine : processor, such as ``x86_64``.
    """

    packages: Mapping[str, str]
    versions: Mapping[str, str]
    machine: str


def note_packages(bucket: Bucket, image: str) -> None:
    """Store the versions of all packages of this process.

    Parameters
    ----------
    bucket : the exchange bucket.
    image : name of the image that this process runs in. Another image may have the name later.

    Raises
    ------
    S3Error : S3 refuses.
    """
    packages = {found.metadata["Name"]: found.version for found in distributions()}
    noted = NotedImage(packages, versions(), platform.machine())
    bucket.put(_key(image), json.dumps(asdict(noted)).encode())


def noted_image(bucket: Bucket, image: str) -> NotedImage | None:
    """Return what a worker has noted; None if none has.

    Raises
    ------
    S3Error : S3 refuses.
    """
    try:
        return NotedImage(**json.loads(bucket.get(_key(image))))
    except MissingObjectError:
        return None


def compare_packages(bucket: Bucket, image: str, mains: Mapping[str, str]) -> str:
    """Say which packages the workers seem to have in other versions than main; nothing if nothing is known of them.

    Parameters
    ----------
    bucket : the exchange bucket.
    image : name of the workers' image.
    mains : the packages that the job refers to, with main's versions.

    Raises
    ------
    S3Error : S3 refuses.
    """
    noted = noted_image(bucket, image) if mains else None
    return differing_packages(mains, noted.packages, "workers have") if noted else ""


def _key(image: str) -> str:
    return f"{IMAGES_PREFIX}{hashlib.sha256(image.encode()).hexdigest()}.json"
