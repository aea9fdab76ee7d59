"""A network of its own where none was given, and the jobs' security group."""

from __future__ import annotations

from typing import Any

from ocrlabel.aws.template.functions import attribute, either, ref

SUBNETS = either("OwnNetwork", [ref("SubnetA"), ref("SubnetB")], ref("SubnetIds"))
ZONES = {"SubnetA": (0, "10.42.0.0/20"), "SubnetB": (1, "10.42.16.0/20")}


def network() -> dict[str, Any]:
    """Public subnets with no way in: a NAT gateway would cost more than the compute.

    The S3 gateway endpoint is free, and keeps images and checkpoints off the internet.
    """
    own = {
        "Vpc": {
            "Type": "AWS::EC2::VPC",
            "Properties": {
                "CidrBlock": "10.42.0.0/16",
                "EnableDnsHostnames": True,
                "EnableDnsSupport": True,
            },
        },
        "InternetGateway": {"Type": "AWS::EC2::InternetGateway", "Properties": {}},
        "GatewayAttachment": {
            "Type": "AWS::EC2::VPCGatewayAttachment",
            "Properties": {"VpcId": ref("Vpc"), "InternetGatewayId": ref("InternetGateway")},
        },
        "RouteTable": {"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": ref("Vpc")}},
        "DefaultRoute": {
            "Type": "AWS::EC2::Route",
            "DependsOn": "GatewayAttachment",
            "Properties": {
                "RouteTableId": ref("RouteTable"),
                "DestinationCidrBlock": "0.0.0.0/0",
                "GatewayId": ref("InternetGateway"),
            },
        },
        "S3Endpoint": {
            "Type": "AWS::EC2::VPCEndpoint",
            "Properties": {
                "VpcId": ref("Vpc"),
                "VpcEndpointType": "Gateway",
                "ServiceName": {"Fn::Sub": "com.amazonaws.${AWS::Region}.s3"},
                "RouteTableIds": [ref("RouteTable")],
            },
        },
        **_subnets(),
    }
    return {
        **{name: {**body, "Condition": "OwnNetwork"} for name, body in own.items()},
        "JobSecurityGroup": {
            "Type": "AWS::EC2::SecurityGroup",
            "Properties": {
                "GroupDescription": "OCR jobs: HTTPS out, nothing in",
                "VpcId": either("OwnNetwork", ref("Vpc"), ref("VpcId")),
                "SecurityGroupEgress": [
                    {
                        "Description": "HTTPS to ECR, S3, Secrets Manager, CloudWatch and the OCR",
                        "IpProtocol": "tcp",
                        "FromPort": 443,
                        "ToPort": 443,
                        "CidrIp": "0.0.0.0/0",
                    }
                ],
            },
        },
    }


def _subnets() -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, (zone, cidr) in ZONES.items():
        made[name] = {
            "Type": "AWS::EC2::Subnet",
            "Properties": {
                "VpcId": ref("Vpc"),
                "CidrBlock": cidr,
                "AvailabilityZone": {"Fn::Select": [zone, {"Fn::GetAZs": ""}]},
                "MapPublicIpOnLaunch": True,
            },
        }
        made[f"{name}Route"] = {
            "Type": "AWS::EC2::SubnetRouteTableAssociation",
            "Properties": {"SubnetId": ref(name), "RouteTableId": ref("RouteTable")},
        }
    return made


SECURITY_GROUPS = [attribute("JobSecurityGroup", "GroupId")]
