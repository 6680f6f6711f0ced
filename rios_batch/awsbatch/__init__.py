"""The AWS Batch job manager: main's side, a worker's side, and what they say to each other."""
