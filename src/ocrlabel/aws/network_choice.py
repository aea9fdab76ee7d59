"""Which network the jobs run in: the default VPC, subnets that were named, or one of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrlabel.aws.session import translated
from ocrlabel.errors import ConfigError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


@dataclass(frozen=True, slots=True)
class Network:
    """A VPC and its subnets; both empty for one that the stack makes."""

    vpc: str = ""
    subnets: tuple[str, ...] = ()

    @property
    def parameters(self) -> dict[str, str]:
        """As the template takes it."""
        return {"VpcId": self.vpc, "SubnetIds": ",".join(self.subnets)}


OWN = Network()


def default_network(ec2: EC2Client) -> Network | None:
    """The account's default VPC; None where it was deleted."""
    with translated("look for the default VPC"):
        found = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
        if not found:
            return None
        vpc = str(found[0].get("VpcId"))
        answer = ec2.describe_subnets(
            Filters=[
                {"Name": "vpc-id", "Values": [vpc]},
                {"Name": "default-for-az", "Values": ["true"]},
            ]
        )
    subnets = tuple(sorted(str(subnet.get("SubnetId")) for subnet in answer["Subnets"]))
    return Network(vpc, subnets) if subnets else None


def named_network(ec2: EC2Client, subnets: Sequence[str]) -> Network:
    """The VPC of these subnets. Raises ConfigError where they are of several."""
    with translated(f"look at subnets {', '.join(subnets)}"):
        answer = ec2.describe_subnets(SubnetIds=list(subnets))
    vpcs = {str(subnet.get("VpcId")) for subnet in answer["Subnets"]}
    if len(vpcs) != 1:
        raise ConfigError(
            f"the subnets {', '.join(subnets)} are in {len(vpcs)} VPCs: name subnets of one"
        )
    return Network(vpcs.pop(), tuple(subnets))


def chosen(ec2: EC2Client, choice: str, subnets: Sequence[str]) -> Network:
    """By name: `default`, `own`, `auto` (default where there is one), or the subnets."""
    if subnets:
        return named_network(ec2, subnets)
    if choice == "own":
        return OWN
    found = default_network(ec2)
    if found is None and choice == "default":
        raise ConfigError("this region has no default VPC: use --network own, or --subnets")
    return found or OWN
