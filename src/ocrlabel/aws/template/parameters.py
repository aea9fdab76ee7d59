"""What a deploy may choose, and the conditions that follow from it."""

from __future__ import annotations

from typing import Any

from ocrlabel.aws import names

_YES_NO = ["true", "false"]

PARAMETERS: dict[str, dict[str, Any]] = {
    "BucketName": {
        "Type": "String",
        "Description": "The bucket with datasets and results; made outside this stack",
        "AllowedPattern": "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
    },
    "SecretName": {
        "Type": "String",
        "Description": "The secret with the Upstage key; made outside this stack",
        "Default": names.SECRET,
    },
    "CpuArchitecture": {
        "Type": "String",
        "Description": "Of the image and of the EC2 machines",
        "Default": "X86_64",
        "AllowedValues": ["X86_64", "ARM64"],
    },
    "MaxVcpusFargate": {
        "Type": "Number",
        "Description": "The most vCPUs of Fargate Spot, and again of Fargate on demand",
        "Default": 64,
        "MinValue": 1,
    },
    "WithEc2": {
        "Type": "String",
        "Description": "Also an EC2 Spot queue, for the local engine",
        "Default": "false",
        "AllowedValues": _YES_NO,
    },
    "MaxVcpusEc2": {
        "Type": "Number",
        "Description": "The most vCPUs of EC2 Spot",
        "Default": 128,
        "MinValue": 1,
    },
    "VpcId": {
        "Type": "String",
        "Description": "An existing VPC; empty for one of its own with an S3 gateway endpoint",
        "Default": "",
    },
    "SubnetIds": {
        "Type": "CommaDelimitedList",
        "Description": "Subnets of that VPC with a way to the internet; empty with an own VPC",
        "Default": "",
    },
    "ServiceRoleArn": {
        "Type": "String",
        "Description": "Empty for Batch's service-linked role (updates in place need that one)",
        "Default": "",
    },
    "NotifyEmail": {
        "Type": "String",
        "Description": "Who hears of failed jobs and of the budget; empty for nobody",
        "Default": "",
    },
    "MonthlyBudgetUsd": {
        "Type": "Number",
        "Description": "An alarm at 80 % of this much a month; 0 for none",
        "Default": 0,
        "MinValue": 0,
    },
    "GitHubRepository": {
        "Type": "String",
        "Description": "owner/name that may push and run through OIDC; empty for none",
        "Default": "",
        "AllowedPattern": "^$|^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$",
    },
    "GitHubEnvironment": {
        "Type": "String",
        "Description": "The GitHub environment whose jobs are trusted beside main",
        "Default": "aws",
        "AllowedPattern": "^[A-Za-z0-9._-]+$",
    },
    "CreateGitHubProvider": {
        "Type": "String",
        "Description": "false where the account already has GitHub's OIDC provider",
        "Default": "true",
        "AllowedValues": _YES_NO,
    },
}


def _is(name: str, value: str) -> dict[str, Any]:
    return {"Fn::Equals": [{"Ref": name}, value]}


def _is_not(name: str, value: str) -> dict[str, Any]:
    return {"Fn::Not": [_is(name, value)]}


CONDITIONS: dict[str, dict[str, Any]] = {
    "OwnNetwork": _is("VpcId", ""),
    "HasServiceRole": _is_not("ServiceRoleArn", ""),
    "Ec2Wanted": _is("WithEc2", "true"),
    "IsArm": _is("CpuArchitecture", "ARM64"),
    "HasEmail": _is_not("NotifyEmail", ""),
    "HasBudget": _is_not("MonthlyBudgetUsd", "0"),
    "HasGitHub": _is_not("GitHubRepository", ""),
    "MakeGitHubProvider": {
        "Fn::And": [
            _is_not("GitHubRepository", ""),
            _is("CreateGitHubProvider", "true"),
        ]
    },
}
