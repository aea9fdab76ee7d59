"""The image's home."""

from __future__ import annotations

import json
from typing import Any

from ocrlabel.aws.names import REPOSITORY

# Tags move (the guide pushes :latest again and again), job definitions are pinned by digest.
# Only untagged images expire, long after any job that was registered with them.
_EXPIRY = {
    "rules": [
        {
            "rulePriority": 1,
            "description": "untagged images go after 90 days",
            "selection": {
                "tagStatus": "untagged",
                "countType": "sinceImagePushed",
                "countUnit": "days",
                "countNumber": 90,
            },
            "action": {"type": "expire"},
        }
    ]
}


def registry() -> dict[str, Any]:
    """One mutable repository, scanned on push; it goes with the stack, images and all."""
    return {
        "Repository": {
            "Type": "AWS::ECR::Repository",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Delete",
            "Properties": {
                "RepositoryName": REPOSITORY,
                "ImageTagMutability": "MUTABLE",
                "ImageScanningConfiguration": {"ScanOnPush": True},
                "EmptyOnDelete": True,
                "LifecyclePolicy": {"LifecyclePolicyText": json.dumps(_EXPIRY)},
            },
        }
    }
