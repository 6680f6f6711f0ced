"""From encoded blocks to one finished output, on disk or in S3."""
