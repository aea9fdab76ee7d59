"""The bucket with datasets and results: private, TLS only, encrypted, versioned.

`look_bucket` says what is set, `plan_bucket` makes what is lacking, through S3's own API.

A bucket that is there keeps what it has: other rules, other policy statements, other tags.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ocrlabel.aws.names import TAGS, AwsLocation, tag_list
from ocrlabel.aws.plan import Call, Change, Kind
from ocrlabel.aws.session import code, if_there, translated
from ocrlabel.errors import ConfigError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NOTHING_PUBLIC = {
    "BlockPublicAcls": True,
    "BlockPublicPolicy": True,
    "IgnorePublicAcls": True,
    "RestrictPublicBuckets": True,
}
ENCRYPTION = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
OWNER = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}

# Only these two may expire. A rule on checkpoints/ would delete answers that were paid for.
LIFECYCLE = [
    {
        "ID": "ocrlabel-aborted-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3},
    },
    {
        "ID": "ocrlabel-noncurrent-versions",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
    },
]
TLS_SID = "OcrlabelTlsOnly"
# S3's errors for a setting that was never made
_NOT_SET = {
    "NoSuchBucketPolicy",
    "NoSuchLifecycleConfiguration",
    "NoSuchPublicAccessBlockConfiguration",
    "NoSuchTagSet",
    "OwnershipControlsNotFoundError",
    "ServerSideEncryptionConfigurationNotFoundError",
}


@dataclass(frozen=True, slots=True)
class BucketState:
    """A bucket as it is; empty values where nothing is set."""

    public_access: Mapping[str, bool] = field(default_factory=dict)
    encrypted: bool = False
    versioned: bool = False
    owner_enforced: bool = False
    policy: Mapping[str, Any] = field(default_factory=dict)
    lifecycle: Sequence[Mapping[str, Any]] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


def plan_bucket(present: BucketState | None, name: str, location: AwsLocation) -> list[Change]:
    """What is lacking; empty where the bucket is as it should be."""
    if present is None:
        where = (
            {}  # S3 refuses this region as a constraint
            if location.region == "us-east-1"
            else {"CreateBucketConfiguration": {"LocationConstraint": location.region}}
        )
        create = Call("s3", "create_bucket", {"Bucket": name, **where})
        calls = (create, *_lacking(BucketState(), name, location).values())
        detail = "private, TLS only, encrypted, versioned"
        return [Change(Kind.ADD, "bucket", name, detail, calls)]
    lacking = _lacking(present, name, location)
    if not lacking:
        return []
    return [Change(Kind.CHANGE, "bucket", name, ", ".join(lacking), tuple(lacking.values()))]


def tls_only(name: str, location: AwsLocation) -> dict[str, Any]:
    """The statement that refuses every request without TLS."""
    return {
        "Sid": TLS_SID,
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [location.bucket_arn(name), location.bucket_arn(name, "*")],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def _lacking(present: BucketState, name: str, location: AwsLocation) -> dict[str, Call]:
    def put(method: str, **parameters: Any) -> Call:
        return Call("s3", method, {"Bucket": name, **parameters})

    lacking: dict[str, Call] = {}
    if not all(present.public_access.get(key) for key in NOTHING_PUBLIC):
        lacking["nothing public"] = put(
            "put_public_access_block", PublicAccessBlockConfiguration=NOTHING_PUBLIC
        )
    if not present.owner_enforced:
        lacking["no ACLs"] = put("put_bucket_ownership_controls", OwnershipControls=OWNER)
    if not present.encrypted:
        lacking["encrypted"] = put(
            "put_bucket_encryption", ServerSideEncryptionConfiguration=ENCRYPTION
        )
    if not present.versioned:
        lacking["versioned"] = put(
            "put_bucket_versioning", VersioningConfiguration={"Status": "Enabled"}
        )
    statement = tls_only(name, location)
    statements = list(present.policy.get("Statement", ()))
    if statement not in statements:
        others = [other for other in statements if other.get("Sid") != TLS_SID]
        policy = {"Version": "2012-10-17", **present.policy, "Statement": [*others, statement]}
        lacking["TLS only"] = put("put_bucket_policy", Policy=json.dumps(policy))
    ids = {rule.get("ID") for rule in present.lifecycle}
    if missing := [rule for rule in LIFECYCLE if rule["ID"] not in ids]:
        lacking["old versions and aborted uploads expire"] = put(
            "put_bucket_lifecycle_configuration",
            LifecycleConfiguration={"Rules": [*present.lifecycle, *missing]},
        )
    if not TAGS.items() <= present.tags.items():
        tags = {"TagSet": tag_list({**present.tags, **TAGS})}
        lacking["tagged"] = put("put_bucket_tagging", Tagging=tags)
    return lacking


def look_bucket(s3: S3Client, name: str, region: str) -> BucketState | None:
    """The bucket as it is; None where nobody has it. Raises ConfigError where it is not ours."""
    with translated(f"look at bucket {name}"):
        try:
            found = s3.head_bucket(Bucket=name)
        except s3.exceptions.ClientError as error:
            if code(error) in {"404", "NoSuchBucket"}:
                return None
            if code(error) in {"403", "301"}:
                raise ConfigError(
                    f"the bucket {name} is not within reach: it is another account's, in another "
                    f"region than {region}, or these credentials may not see it\n"
                    "  export S3_BUCKET=another-name, or set AWS_REGION to the bucket's region"
                ) from error
            raise
    there = str(found.get("BucketRegion") or region)
    if there != region:
        raise ConfigError(
            f"the bucket {name} is in {there}, not in {region}: jobs would pay for every byte\n"
            f"  export AWS_REGION={there}, or export S3_BUCKET=another-name"
        )

    def ask(method: str) -> dict[str, Any]:
        doing = f"read the settings of bucket {name}"
        return if_there(doing, lambda: getattr(s3, method)(Bucket=name), *_NOT_SET) or {}

    policy = ask("get_bucket_policy").get("Policy")
    owner = ask("get_bucket_ownership_controls").get("OwnershipControls", {}).get("Rules", [])
    return BucketState(
        public_access=ask("get_public_access_block").get("PublicAccessBlockConfiguration", {}),
        encrypted="ServerSideEncryptionConfiguration" in ask("get_bucket_encryption"),
        versioned=ask("get_bucket_versioning").get("Status") == "Enabled",
        owner_enforced=any(r.get("ObjectOwnership") == "BucketOwnerEnforced" for r in owner),
        policy=json.loads(policy) if policy else {},
        lifecycle=ask("get_bucket_lifecycle_configuration").get("Rules", []),
        tags={tag["Key"]: tag["Value"] for tag in ask("get_bucket_tagging").get("TagSet", [])},
    )
