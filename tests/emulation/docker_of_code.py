#!/usr/bin/env python3
"""What stands for ``docker`` where jobs are processes: an image is a folder with the package, named by its tag.

The CDK calls it, named by ``CDK_DOCKER``. ``EMULATED_CODE`` is the folder that has the folders.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import boto3


def main(arguments: list[str]) -> None:
    code = Path(os.environ["EMULATED_CODE"])
    match arguments:
        case ["login", *_]:
            sys.stdin.read()
        case ["inspect", *_]:
            sys.exit(1)  # not built yet
        case ["build", *rest]:
            name = rest[rest.index("--tag") + 1]
            shutil.copytree("rios_batch", code / name / "rios_batch", dirs_exist_ok=True)
        case ["tag", name, uri]:
            shutil.copytree(code / name, code / uri.rpartition(":")[2], dirs_exist_ok=True)
        case ["push", *_, uri]:
            push(uri)
        case _:
            sys.exit(f"docker_of_code.py knows no {arguments}")


def push(uri: str) -> None:
    """Have the emulated ECR know an image."""
    name, _, tag = uri.partition("/")[2].rpartition(":")
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"digest": f"sha256:{tag}"},
        "layers": [],
    }
    boto3.client("ecr").put_image(repositoryName=name, imageTag=tag, imageManifest=json.dumps(manifest))


if __name__ == "__main__":
    main(sys.argv[1:])
