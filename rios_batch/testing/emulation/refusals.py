"""What AWS refuses to take away from those who use it, and moto does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.batch.models import batch_backends
from moto.ec2.exceptions import DependencyViolationError
from moto.ec2.models import EC2Backend
from moto.iam.exceptions import DeleteConflictException, IAMException
from moto.iam.models import IAMBackend, iam_backends

from rios_batch.testing.emulation.environment import ACCOUNT
from rios_batch.testing.emulation.patching import replace

if TYPE_CHECKING:
    from rios_batch.testing.emulation.batch import Machines

IDENTITY_CENTER_PATH = "/aws-reserved/sso.amazonaws.com/"


def patch(machines: Machines) -> None:
    """Put these in place of moto's own."""
    _patch_iam()
    _patch_ec2(machines)


class _UnmodifiableEntityError(IAMException):
    code = "UnmodifiableEntity"


def _patch_iam() -> None:
    delete, detach = IAMBackend.delete_policy, IAMBackend.detach_role_policy

    def delete_unattached(backend: IAMBackend, policy_arn: str) -> None:
        if backend.get_policy(policy_arn).attachment_count:
            raise DeleteConflictException("Cannot delete a policy attached to entities.")
        delete(backend, policy_arn)

    def detach_from_own_role(backend: IAMBackend, policy_arn: str, role_name: str) -> None:
        if backend.get_role(role_name).path.startswith(IDENTITY_CENTER_PATH):
            raise _UnmodifiableEntityError(
                f"Cannot perform the operation on the protected role '{role_name}'"
                " - this role is only modifiable by AWS"
            )
        detach(backend, policy_arn, role_name)

    replace(IAMBackend, "delete_policy", delete_unattached)
    replace(IAMBackend, "detach_role_policy", detach_from_own_role)


def take_role_back(role_name: str) -> None:
    """Delete a role as IAM Identity Center does with those of a permission set that is taken from an account."""
    backend = iam_backends[ACCOUNT]["aws"]
    role = backend.get_role(role_name)
    for policy in list(role.managed_policies.values()):
        policy.detach_from(role)
    backend.delete_role(role_name)


def _patch_ec2(machines: Machines) -> None:
    """Refuse what EC2 refuses while an instance lives: its subnet, security group and gateway.

    Routes, associations of route tables and gateway endpoints can be deleted under an instance, as on AWS.
    """
    detach, delete_subnet = EC2Backend.detach_internet_gateway, EC2Backend.delete_subnet
    delete_group = EC2Backend._delete_security_group

    def detach_unused(backend: EC2Backend, internet_gateway_id: str, vpc_id: str) -> None:
        subnets = [backend.get_subnet(subnet_id) for subnet_id in _in_use(machines, backend, "subnets")]
        if any(subnet.vpc_id == vpc_id and subnet.map_public_ip_on_launch for subnet in subnets):
            raise DependencyViolationError(
                f"Network {vpc_id} has some mapped public address(es). Please unmap those public address(es)"
                " before detaching the gateway."
            )
        detach(backend, internet_gateway_id, vpc_id)

    def delete_unused_subnet(backend: EC2Backend, subnet_id: str) -> Any:
        if subnet_id in _in_use(machines, backend, "subnets"):
            raise DependencyViolationError(
                f"The subnet '{subnet_id}' has dependencies and cannot be deleted."
            )
        return delete_subnet(backend, subnet_id)

    def delete_unused_group(backend: EC2Backend, vpc_id: str | None, group_id: str) -> None:
        if group_id in _in_use(machines, backend, "securityGroupIds"):
            raise DependencyViolationError(f"resource {group_id} has a dependent object")
        delete_group(backend, vpc_id, group_id)

    replace(EC2Backend, "detach_internet_gateway", detach_unused)
    replace(EC2Backend, "delete_subnet", delete_unused_subnet)
    replace(EC2Backend, "_delete_security_group", delete_unused_group)


def _in_use(machines: Machines, backend: EC2Backend, key: str) -> list[str]:
    environments = batch_backends[ACCOUNT][backend.region_name]._compute_environments.values()
    return [
        one
        for place in environments
        if place.arn in machines.instances
        for one in place.compute_resources[key]
    ]
