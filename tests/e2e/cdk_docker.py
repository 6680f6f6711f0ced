#!/usr/bin/env python3
"""What stands for ``docker`` where images go to an emulated ECR: the CDK calls it, named by ``CDK_DOCKER``.

There is no registry. An image is pushed when ECR knows its tag, and pulled by being on this machine under its
name in ECR already. All else is left to Docker itself.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import boto3

_IN_ECR = re.compile(r"[^/]+\.dkr\.ecr\.[^/]+/(?P<repository>.+):(?P<tag>[^:]+)")

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def push(image: str) -> None:
    """Have the emulated ECR know an image of this machine."""
    match = _IN_ECR.fullmatch(image)
    if match is None:
        sys.exit(f"{image} is not the name of an image in ECR")
    inspect = ["docker", "image", "inspect", "--format", "{{.Id}}", image]
    digest = subprocess.run(inspect, check=True, capture_output=True, text=True).stdout.strip()
    manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": {"digest": digest}, "layers": []}
    boto3.client("ecr").put_image(
        repositoryName=match["repository"], imageTag=match["tag"], imageManifest=json.dumps(manifest)
    )


def main(arguments: list[str]) -> None:
    match arguments:
        case ["login", *_]:
            sys.stdin.read()
        case ["push", *_, image]:
            push(image)
        case ["build", *rest]:
            # The builder that needs no plug-in; and the engine may have no network but the host's.
            os.environ["DOCKER_BUILDKIT"] = "0"
            os.execvp("docker", ["docker", "build", "--network", "host", *rest])
        case _:
            os.execvp("docker", ["docker", *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
