"""Buckets of a script that is rehearsed, in the emulated S3."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import boto3

from rios_batch.model.s3names import S3Name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def make_bucket(name: str) -> None:
    """Make the bucket of an object's name, if there is none."""
    client = _client()
    with suppress(client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(
            Bucket=S3Name.parse(name).bucket,
            CreateBucketConfiguration={"LocationConstraint": client.meta.region_name},
        )


def fetch(name: str, folder: Path) -> str:
    """Fetch an object into a folder; return the file."""
    found = S3Name.parse(name)
    path = str(folder / found.key.rpartition("/")[2])
    _client().download_file(found.bucket, found.key, path)
    return path


def _client() -> Any:
    make: Callable[..., Any] = boto3.client
    return make("s3")
