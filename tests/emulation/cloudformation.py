"""CloudFormation: order, change sets, updates, deletion and custom resources as on AWS.

moto creates what an output refers to before what it depends on, drops outputs of change sets, leaves most
resources of a deleted stack, and knows updates of a few types only. So the three things that happen to a
stack are written here; single resource types are in `tests.emulation.resources`.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from moto.cloudformation import models
from moto.cloudformation.exceptions import AlreadyExistsException, ValidationError
from moto.cloudformation.models import CloudFormationBackend, Stack
from moto.cloudformation.parsing import OutputMap, ResourceMap, clean_json

from tests.emulation import customresources, resources
from tests.emulation.patching import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_log = logging.getLogger(__name__)
_IN_SUB = re.compile(r"\$\{([^!}.]+)[^}]*\}")


def patch() -> None:
    """Put this in place of moto's own."""
    replace(CloudFormationBackend, "create_stack", _create_stack)
    replace(CloudFormationBackend, "update_stack", _update_stack)
    replace(CloudFormationBackend, "delete_stack", _delete_stack)
    replace(CloudFormationBackend, "execute_change_set", _execute_change_set)
    customresources.patch()


def _create_stack(
    backend: CloudFormationBackend, name: str, template: str, parameters: dict[str, Any], **more: Any
) -> Stack:
    if any(stack.name == name for stack in backend.stacks.values()):
        raise AlreadyExistsException(f"Stack {name} already exists")
    stack_id = models.generate_stack_id(name, backend.region_name, backend.account_id)
    stack = Stack(
        stack_id=stack_id,
        name=name,
        template=template,
        parameters=parameters,
        account_id=backend.account_id,
        region_name=backend.region_name,
        cross_stack_resources=backend.exports,
        **more,
    )
    backend.stacks[stack_id] = stack
    _create(backend, stack)
    return stack


def _update_stack(
    backend: CloudFormationBackend,
    name: str,
    template: str,
    role_arn: str | None,
    parameters: list[dict[str, Any]],
    tags: dict[str, str] | None,
) -> Stack:
    stack = backend.get_stack(name)
    given = backend._resolve_update_parameters(instance=stack, incoming_params=parameters)
    stack.role_arn, stack.tags = role_arn, stack.tags if tags is None else tags
    _update(backend, stack, template, given)
    return stack


def _execute_change_set(
    backend: CloudFormationBackend, change_set_name: str, stack_name: str | None = None
) -> None:
    found = backend.describe_change_set(change_set_name)
    if found is None or (stack_name and stack_name not in (found.stack_name, found.stack_id)):
        raise ValidationError(change_set_name)
    stack = backend.stacks[found.stack_id]
    if found.change_set_type == "CREATE":
        stack.template, stack.parameters = found.template, found.parameters
        stack._parse_template()
        stack.cross_stack_resources = backend.exports
        stack.resource_map = stack._create_resource_map()
        stack.output_map = stack._create_output_map()
        _create(backend, stack)
    else:
        _update(backend, stack, found.template, found.parameters)
    found.execution_status = "EXECUTE_COMPLETE"


def _delete_stack(backend: CloudFormationBackend, name_or_stack_id: str) -> None:
    for stack in list(backend.stacks.values()):
        if name_or_stack_id in (stack.name, stack.stack_id):
            _event(stack, "DELETE_IN_PROGRESS")
            if _attempt(stack, "DELETE_FAILED", lambda stack=stack: _delete_all(stack)):
                _event(stack, "DELETE_COMPLETE")
                _forget_exports(backend, stack)
                backend.deleted_stacks[stack.stack_id] = backend.stacks.pop(stack.stack_id)


def _create(backend: CloudFormationBackend, stack: Stack) -> None:
    _event(stack, "CREATE_IN_PROGRESS")
    if _attempt(stack, "ROLLBACK_IN_PROGRESS", lambda: _create_all(stack)):
        _event(stack, "CREATE_COMPLETE")
        _keep_exports(backend, stack)
    elif _attempt(stack, "ROLLBACK_FAILED", lambda: _delete_all(stack)):
        _event(stack, "ROLLBACK_COMPLETE")


def _update(backend: CloudFormationBackend, stack: Stack, template: str, parameters: dict[str, Any]) -> None:
    _event(stack, "UPDATE_IN_PROGRESS")
    if _attempt(stack, "UPDATE_ROLLBACK_FAILED", lambda: _update_all(stack, template, parameters)):
        stack.output_map = stack._create_output_map()
        _event(stack, "UPDATE_COMPLETE")
        _forget_exports(backend, stack)
        _keep_exports(backend, stack)


def _attempt(stack: Stack, status_if_not: str, work: Callable[[], None]) -> bool:
    try:
        work()
    except Exception as error:
        # As AWS: whatever is wrong with a resource is told in the stack's events, not to the caller.
        _log.exception("stack %s", stack.name)
        _event(stack, status_if_not, reason=f"{type(error).__name__}: {error}")
        return False
    return True


def _event(stack: Stack, status: str, reason: str | None = None) -> None:
    stack.status = status
    stack._add_stack_event(status, resource_status_reason=reason)


def _keep_exports(backend: CloudFormationBackend, stack: Stack) -> None:
    for export in stack.exports:
        if export.name in backend.exports:
            raise ValidationError(stack.stack_id, message=f"Export {export.name} exists already")
        backend.exports[export.name] = export


def _forget_exports(backend: CloudFormationBackend, stack: Stack) -> None:
    for name, export in list(backend.exports.items()):
        if export.exporting_stack_id == stack.stack_id:
            del backend.exports[name]


def _create_all(stack: Stack) -> None:
    resource_map = stack.resource_map
    for name in creation_order(stack.template_dict["Resources"]):
        _make(resource_map, name)


def _make(resource_map: ResourceMap, name: str) -> None:
    """Make a resource, unless its condition is false, and remember what it was made from."""
    condition = resource_map._resource_json_map[name].get("Condition")  # noqa: SLF001
    if condition and not resource_map.lazy_condition_map[condition]:
        return
    if resource_map[name] is None:
        raise NotImplementedError(f"moto does not know {resource_map._resource_json_map[name]['Type']}")
    _remember(resource_map, name)


def _remember(resource_map: ResourceMap, name: str) -> None:
    made_from = resource_map.__dict__.setdefault("made_from", {})
    made_from[name] = clean_json(resource_map._resource_json_map[name], resource_map)


def _update_all(stack: Stack, template: str, parameters: dict[str, Any]) -> None:
    resource_map = stack.resource_map
    old = resource_map._resource_json_map
    made_from: dict[str, Any] = resource_map.__dict__["made_from"]
    stack.template, stack.parameters = template, parameters
    stack._parse_template()
    resource_map._template = stack.template_dict
    resource_map.input_parameters = parameters
    resource_map._resource_json_map = new = stack.template_dict["Resources"]
    resource_map.load()
    parsed = resource_map._parsed_resources
    outdated: list[tuple[Any, dict[str, Any]]] = []
    for name in creation_order(new):
        if name not in parsed:
            _make(resource_map, name)
        elif (wanted := clean_json(new[name], resource_map)) != made_from[name]:
            before = parsed[name]
            was = made_from[name]
            made = resources.change(before, wanted, was, stack.region_name)
            if made is None:  # it cannot be changed: a new one takes its place, the old one goes at the end
                del parsed[name]
                _make(resource_map, name)
            else:
                parsed[name] = made
            if made is None or made.physical_resource_id != before.physical_resource_id:
                outdated.append((before, was))
            _remember(resource_map, name)
    for name in reversed(creation_order(old)):
        if name not in new:
            resources.delete(parsed.pop(name), made_from.pop(name), stack.region_name)
    for resource, was in reversed(outdated):
        resources.delete(resource, was, stack.region_name)


def _delete_all(stack: Stack) -> None:
    resource_map = stack.resource_map
    templates = resource_map._resource_json_map
    made_from: dict[str, Any] = resource_map.__dict__.get("made_from", {})
    for name in reversed(creation_order(templates)):
        resource = resource_map._parsed_resources.get(name)
        if resource is not None and templates[name].get("DeletionPolicy") != "Retain":
            resources.delete(resource, made_from[name], stack.region_name)
        resource_map._parsed_resources.pop(name, None)
        made_from.pop(name, None)
    # Whoever asks about the deleted stack would make them again.
    resource_map._resource_json_map = {}
    stack.output_map = OutputMap(resource_map, {"Outputs": {}}, stack.stack_id)


def creation_order(templates: dict[str, Any]) -> list[str]:
    """Logical ids, each after everything it refers to or depends on."""
    order: dict[str, None] = {}

    def add(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ValidationError(message=f"Circular dependency between resources: {[*above, name]}")
        for other in sorted(set(_references(templates[name])) & templates.keys() - order.keys()):
            add(other, (*above, name))
        order[name] = None

    for name in templates:
        if name not in order:
            add(name, ())
    return list(order)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            match key, item:
                case "Ref", str():
                    yield item
                case "Fn::GetAtt", [str() as name, *_]:
                    yield name
                case "Fn::Sub", str():
                    yield from _IN_SUB.findall(item)
                case "DependsOn", str():
                    yield item
                case "DependsOn", list():
                    yield from item
                case _:
                    yield from _references(item)
