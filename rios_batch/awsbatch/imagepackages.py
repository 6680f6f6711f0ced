"""What is installed in the workers' image.

AWS tells main nothing of it. So a worker of each run notes it in the exchange bucket, and the next main compares before
main submits anything. The very first run on an image learns it from the first worker that cannot load the job.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import distributions
from typing import TYPE_CHECKING, Any

from rios_batch.awsbatch.decoding import RecordError, decoding, json_object, text
from rios_batch.awsbatch.versions import versions
from rios_batch.contract import IMAGES_PREFIX
from rios_batch.errors import MissingObjectError
from rios_batch.jobmanagers.modules import differing_packages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rios_batch.aws.objects import Bucket

log = logging.getLogger("rios_batch")

_MOST_BYTES = 2**22  # of a note; a package takes some 30


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
    RecordError : somebody has stored something else.
    """
    try:
        data = bucket.get(_key(image), most_bytes=_MOST_BYTES)
    except MissingObjectError:
        return None
    with decoding(f"the note of the packages in image {image}"):
        found = json_object(data)
        return NotedImage(_texts(found["packages"]), _texts(found["versions"]), text(found["machine"]))


def _texts(found: Any) -> dict[str, str]:
    return {name: text(value) for name, value in found.items()}


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
    try:
        noted = noted_image(bucket, image) if mains else None
    except RecordError as error:  # what is in the image is not known then, as in the first run
        log.warning("%s", error)
        noted = None
    return differing_packages(mains, noted.packages, "workers have") if noted else ""


def _key(image: str) -> str:
    return f"{IMAGES_PREFIX}{hashlib.sha256(image.encode()).hexdigest()}.json"
