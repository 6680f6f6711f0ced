from tests.s3server import _running_s3, bucket, s3_server

__all__ = ["_running_s3", "bucket", "s3_server"]
