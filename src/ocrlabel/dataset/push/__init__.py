"""A dataset copied to a bucket, so that jobs find its table and its images there."""
