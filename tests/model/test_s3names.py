from __future__ import annotations

import pytest

from rios_batch.errors import ParameterError
from rios_batch.model.s3names import S3Name


def test_a_name_is_bucket_and_key_and_back() -> None:
    name = S3Name.parse("s3://bucket/folder/a file.tif")

    assert (name.bucket, name.key) == ("bucket", "folder/a file.tif")
    assert str(name) == "s3://bucket/folder/a file.tif"
    assert name.gdal_name == "/vsis3/bucket/folder/a file.tif"


@pytest.mark.parametrize(
    "text", ["bucket/key", "s3://", "s3://bucket", "s3://bucket/", "s3:///k", "s3://b/f/"]
)
def test_anything_else_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ParameterError, match=f"'{text}' does not name an object in S3; write s3://"):
        S3Name.parse(text)
