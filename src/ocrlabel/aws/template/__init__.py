"""The CloudFormation template, one area a module; `whole.template()` puts it together.

It holds what only a stack makes well: registry, roles, network, compute, queues, alarms. Bucket,
secret, log group and job definitions are made through their own APIs (bucket.py, secret.py,
log_group.py, register.py): a stack that owned them could not be destroyed and deployed again.
"""
