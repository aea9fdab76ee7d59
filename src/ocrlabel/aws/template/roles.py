"""The roles, with the statements of policies.py."""

from __future__ import annotations

from typing import Any

from ocrlabel.aws import policies
from ocrlabel.aws.names import GITHUB_ISSUER
from ocrlabel.aws.template.functions import HERE, filled, ref


def roles() -> dict[str, Any]:
    """The job's and the execution role; with conditions the instance's and GitHub's."""
    bucket, secret = "${BucketName}", "${SecretName}"
    tasks = policies.trust(policies.TASKS, HERE.account)
    return {
        "JobRole": _role(tasks, "data", policies.job(HERE, bucket)),
        "ExecutionRole": _role(tasks, "start", policies.execution(HERE, secret)),
        "InstanceRole": {
            "Condition": "Ec2Wanted",
            **_role(policies.trust("ec2.amazonaws.com"), "agent", policies.instance(HERE)),
        },
        "InstanceProfile": {
            "Type": "AWS::IAM::InstanceProfile",
            "Condition": "Ec2Wanted",
            "Properties": {"Roles": [ref("InstanceRole")]},
        },
        "GitHubProvider": {
            "Type": "AWS::IAM::OIDCProvider",
            "Condition": "MakeGitHubProvider",
            # one a account, shared by every repository: not this stack's to delete
            "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Retain",
            "Properties": {
                "Url": f"https://{GITHUB_ISSUER}",
                "ClientIdList": ["sts.amazonaws.com"],
            },
        },
        "GitHubRole": _github_role(bucket),
    }


def _github_role(bucket: str) -> dict[str, Any]:
    trust = policies.trust_github(HERE, "${GitHubRepository}", "${GitHubEnvironment}")
    role = _role(trust, "push-and-run", policies.github(HERE, bucket))
    # a run that is followed for hours outlives the default session of one hour
    role["Properties"]["MaxSessionDuration"] = 6 * 3600
    return {"Condition": "HasGitHub", **role}


def _role(
    trust: dict[str, Any], policy: str, statements: list[policies.Statement]
) -> dict[str, Any]:
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": filled(trust),
            "Policies": [
                {
                    "PolicyName": policy,
                    "PolicyDocument": filled(policies.document(statements)),
                }
            ],
        },
    }
