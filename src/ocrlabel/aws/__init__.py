"""Where labels are made in the cloud: the stack for AWS Batch, its jobs, their logs and cost."""
