from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cdk_app.synthesized import Stack


def test_default_has_a_public_subnet_in_each_of_the_two_zones_that_every_region_has(default: Stack) -> None:
    subnets = [resource["Properties"] for resource in default.of_type("AWS::EC2::Subnet").values()]
    zones = {default.value(subnet["AvailabilityZone"]) for subnet in subnets}
    assert zones == {"us-west-2a", "us-west-2b"}
    assert all(subnet["MapPublicIpOnLaunch"] is True for subnet in subnets)


def test_zones_setting_counts_zones(everything: Stack) -> None:
    subnets = everything.of_type("AWS::EC2::Subnet").values()
    zones = {everything.value(subnet["Properties"]["AvailabilityZone"]) for subnet in subnets}
    assert zones == {"us-west-2a", "us-west-2b", "us-west-2c"}


def test_default_has_no_nat_gateway(default: Stack) -> None:
    assert not default.of_type("AWS::EC2::NatGateway")


def test_private_network_has_as_many_nat_gateways_as_asked(everything: Stack) -> None:
    assert len(everything.of_type("AWS::EC2::NatGateway")) == 2


def test_private_jobs_run_in_subnets_without_public_addresses(everything: Stack) -> None:
    environment = everything.properties("AWS::Batch::ComputeEnvironment", "Workers/")
    names = [subnet["Ref"] for subnet in environment["ComputeResources"]["Subnets"]]
    assert len(names) == 3
    for name in names:
        subnet = everything.template["Resources"][name]["Properties"]
        assert subnet["MapPublicIpOnLaunch"] is False


def test_private_subnets_reach_out_through_nat(everything: Stack) -> None:
    routes = [route["Properties"] for route in everything.of_type("AWS::EC2::Route").values()]
    through_nat = [route for route in routes if "NatGatewayId" in route]
    assert [route["DestinationCidrBlock"] for route in through_nat] == ["0.0.0.0/0"] * 3


def test_s3_has_a_gateway_endpoint_on_every_route_table(default: Stack) -> None:
    endpoint = default.only("AWS::EC2::VPCEndpoint")
    assert endpoint["VpcEndpointType"] == "Gateway"
    assert len(endpoint["RouteTableIds"]) == len(default.of_type("AWS::EC2::RouteTable")) == 2


def test_security_group_lets_nothing_in(default: Stack) -> None:
    assert "SecurityGroupIngress" not in default.only("AWS::EC2::SecurityGroup")
    assert not default.of_type("AWS::EC2::SecurityGroupIngress")


def test_existing_vpc_is_used_and_none_is_made(fargate: Stack) -> None:
    assert not fargate.of_type("AWS::EC2::VPC")
    assert not fargate.of_type("AWS::EC2::Subnet")
    assert fargate.only("AWS::EC2::SecurityGroup")["VpcId"] == "vpc-0123456789abcdef0"


def test_existing_subnets_are_those_of_the_jobs(fargate: Stack) -> None:
    environment = fargate.properties("AWS::Batch::ComputeEnvironment", "Workers/")
    assert environment["ComputeResources"]["Subnets"] == [
        "subnet-0123456789abcdef0",
        "subnet-0123456789abcdef1",
    ]
