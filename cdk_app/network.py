"""Where jobs run: an own VPC without idle cost by default, or an existing one."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import Fn
from aws_cdk import aws_ec2 as ec2
from constructs import Construct, DependencyGroup

from cdk_app.acknowledged import acknowledge


@dataclass(frozen=True, kw_only=True)
class ExistingVpc:
    """A VPC that is there already; its subnets are named, so that synth needs no look-up."""

    vpc_id: str
    subnet_ids: tuple[str, ...]


class Network(Construct):
    """VPC, subnets and security group for jobs.

    Parameters
    ----------
    zones : availability zones of an own VPC.
    private : jobs have no public addresses.
    nat_gateways : NAT gateways of an own private VPC.
    existing : VPC to use instead of making one.

    Attributes
    ----------
    vpc, subnets, security_group : for compute environments.
    connectivity : what machines reach AWS through; to be there as long as one of them lives.
    public_addresses : whether jobs need a public address to reach AWS.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        zones: int,
        private: bool,
        nat_gateways: int,
        existing: ExistingVpc | None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.public_addresses = not private
        self.connectivity = DependencyGroup()
        self.vpc: ec2.IVpc
        if existing is None:
            self.vpc = self._own_vpc(zones=zones, private=private, nat_gateways=nat_gateways)
            kind = ec2.SubnetType.PRIVATE_WITH_EGRESS if private else ec2.SubnetType.PUBLIC
            self.subnets = ec2.SubnetSelection(subnet_type=kind)
        else:
            self.vpc = ec2.Vpc.from_vpc_attributes(
                self, "Vpc", vpc_id=existing.vpc_id, availability_zones=[Fn.select(0, Fn.get_azs())]
            )
            self.subnets = ec2.SubnetSelection(
                subnets=[
                    ec2.Subnet.from_subnet_id(self, subnet_id, subnet_id) for subnet_id in existing.subnet_ids
                ]
            )
        self.security_group = ec2.SecurityGroup(
            self,
            "JobSecurityGroup",
            vpc=self.vpc,
            description="Jobs reach out and nothing reaches in",
            allow_all_outbound=True,  # a user function may read from anywhere
        )

    def _own_vpc(self, *, zones: int, private: bool, nat_gateways: int) -> ec2.Vpc:
        public = ec2.SubnetConfiguration(
            name="Public", subnet_type=ec2.SubnetType.PUBLIC, map_public_ip_on_launch=not private
        )
        inner = ec2.SubnetConfiguration(name="Private", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS)
        vpc = ec2.Vpc(
            self,
            "Vpc",
            # Zones by number: with max_azs a stack without a fixed region gets two, and more need a look-up.
            availability_zones=[Fn.select(index, Fn.get_azs()) for index in range(zones)],
            nat_gateways=nat_gateways,
            subnet_configuration=[public, inner] if private else [public],
            # Free, and keeps pixels off the internet gateway and off NAT's bill.
            gateway_endpoints={
                "S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3)
            },
            restrict_default_security_group=False,  # unused; it would need one more Lambda
        )
        # Nothing else refers to these, and they refer to all the rest of the network.
        ends = (ec2.CfnRoute, ec2.CfnSubnetRouteTableAssociation, ec2.CfnVPCEndpoint)
        self.connectivity.add(*(part for part in vpc.node.find_all() if isinstance(part, ends)))
        acknowledge(
            vpc, "VPC7", "Nothing listens and nothing is kept here; flow logs would cost for nothing."
        )
        return vpc
