"""The AWS side: one CDK stack that holds everything a run on AWS Batch needs."""
