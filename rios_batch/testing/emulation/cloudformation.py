"""CloudFormation: order, change sets, updates, deletion and custom resources as on AWS.

moto creates what an output refers to before what it depends on, drops outputs of change sets, leaves most
resources of a deleted stack, and knows updates of a few types only. So the three things that happen to a
stack are written here; single resource types are in `rios_batch.testing.emulation.resources`.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from moto.cloudformation.exceptions import AlreadyExistsException, CloudFormationError, ValidationError
from moto.cloudformation.models import ChangeSet, CloudFormationBackend, Event, Stack
from moto.cloudformation.parsing import OutputMap, clean_json
from moto.cloudformation.utils import generate_stack_id

from rios_batch.testing.emulation import customresources, resources
from rios_batch.testing.emulation.patching import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_log = logging.getLogger(__name__)
_made_from: defaultdict[str, dict[str, Any]] = defaultdict(dict)
"""By stack id and logical id: what each resource was made from."""
_MINUTES_TO_DELETE = {"AWS::Batch::ComputeEnvironment": 5, "AWS::Batch::JobQueue": 2}
_IN_SUB = re.compile(r"\$\{([^!}.]+)[^}]*\}")


def patch() -> None:
    """Put this in place of moto's own."""
    replace(CloudFormationBackend, "create_stack", _create_stack)
    replace(CloudFormationBackend, "update_stack", _update_stack)
    replace(CloudFormationBackend, "delete_stack", _delete_stack)
    replace(CloudFormationBackend, "execute_change_set", _execute_change_set)
    replace(CloudFormationBackend, "describe_change_set", _describe_change_set)
    replace(CloudFormationBackend, "delete_change_set", _delete_change_set)
    customresources.patch()


def _create_stack(
    backend: CloudFormationBackend, name: str, template: str, parameters: dict[str, Any], **more: Any
) -> Stack:
    if any(stack.name == name for stack in backend.stacks.values()):
        raise AlreadyExistsException(f"Stack {name} already exists")
    stack_id = generate_stack_id(name, backend.region_name, backend.account_id)
    make: Callable[..., Stack] = Stack
    stack = make(
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
    found = _describe_change_set(backend, change_set_name)
    if stack_name and stack_name not in (found.stack_name, found.stack_id):
        raise ChangeSetNotFoundError(f"ChangeSet [{change_set_name}] is not of stack {stack_name}")
    stack = backend.stacks[found.stack_id]
    if found.change_set_type == "CREATE":
        stack.template, stack.parameters = found.template, found.parameters
        stack._parse_template()
        stack.cross_stack_resources = backend.exports
        stack.resource_map = stack._create_resource_map()
        stack.output_map = stack._create_output_map()
        _create(backend, stack)
    else:
        # Previous values come as what they stood for, such as the content of an SSM parameter; not to be read again.
        was = stack.stack_parameters
        new = {key: value for key, value in found.parameters.items() if value != was.get(key)}
        _update(backend, stack, found.template, {**stack.parameters, **new})
    found.execution_status = "EXECUTE_COMPLETE"


class ChangeSetNotFoundError(CloudFormationError):
    code = "ChangeSetNotFound"  # the CDK's command line waits for it after a deletion


def _describe_change_set(backend: CloudFormationBackend, change_set_name: str) -> ChangeSet:
    for change_set_id, found in reversed(backend.change_sets.items()):
        if change_set_name in (change_set_id, found.change_set_name):
            return found
    raise ChangeSetNotFoundError(f"ChangeSet [{change_set_name}] does not exist")


def _delete_change_set(backend: CloudFormationBackend, change_set_name: str) -> None:
    """Delete it; none by this name is no failure."""
    for change_set_id, found in list(backend.change_sets.items()):
        if change_set_name in (change_set_id, found.change_set_name):
            del backend.change_sets[change_set_id]


def _delete_stack(backend: CloudFormationBackend, name_or_stack_id: str) -> None:
    for stack in list(backend.stacks.values()):
        if name_or_stack_id in (stack.name, stack.stack_id):
            _event(stack, "DELETE_IN_PROGRESS")
            if _attempt(stack, "DELETE_FAILED", _delete_all):
                _event(stack, "DELETE_COMPLETE")
                _forget_exports(backend, stack)
                backend.deleted_stacks[stack.stack_id] = backend.stacks.pop(stack.stack_id)


def _create(backend: CloudFormationBackend, stack: Stack) -> None:
    _event(stack, "CREATE_IN_PROGRESS")
    if _attempt(stack, "ROLLBACK_IN_PROGRESS", _create_all):
        _event(stack, "CREATE_COMPLETE")
        _keep_exports(backend, stack)
    elif _attempt(stack, "ROLLBACK_FAILED", _delete_all):
        _event(stack, "ROLLBACK_COMPLETE")


def _update(backend: CloudFormationBackend, stack: Stack, template: str, parameters: dict[str, Any]) -> None:
    _event(stack, "UPDATE_IN_PROGRESS")
    before = stack.template, stack.parameters
    outdated: list[tuple[str, Any, dict[str, Any]]] = []
    status = "UPDATE_COMPLETE"
    if not _attempt(stack, "UPDATE_ROLLBACK_IN_PROGRESS", _update_all, template, parameters, outdated):
        # What was replaced already is replaced once more; AWS would go back to the old one.
        if not _attempt(stack, "UPDATE_ROLLBACK_FAILED", _update_all, *before, outdated):
            return
        status = "UPDATE_ROLLBACK_COMPLETE"
    _delete_outdated(stack, outdated)
    stack.output_map = stack._create_output_map()
    _event(stack, status)
    _forget_exports(backend, stack)
    _keep_exports(backend, stack)


def _delete_outdated(stack: Stack, outdated: list[tuple[str, Any, dict[str, Any]]]) -> None:
    parsed = stack.resource_map._parsed_resources
    for name, resource, was in reversed(outdated):
        if name not in parsed or parsed[name].physical_resource_id != resource.physical_resource_id:
            _delete(stack, name, resource, was)


def _attempt(stack: Stack, status_if_not: str, work: Callable[..., None], *arguments: Any) -> bool:
    try:
        work(stack, *arguments)
    except Exception as error:  # noqa: BLE001
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
    for name in creation_order(_wanted(stack)):
        _make(stack, name)


def _wanted(stack: Stack) -> dict[str, Any]:
    """Resources of the template, without those whose condition does not hold."""
    conditions = stack.resource_map.lazy_condition_map
    return {
        name: part
        for name, part in stack.template_dict["Resources"].items()
        if "Condition" not in part or conditions[part["Condition"]]
    }


def _make(stack: Stack, name: str) -> None:
    """Make a resource, and remember what it was made from."""
    kind = stack.template_dict["Resources"][name]["Type"]
    with _told(stack, name, kind, "CREATE"):
        if stack.resource_map[name] is None:
            raise NotImplementedError(f"moto does not know {kind}")
        _made_from[stack.stack_id][name] = _resolved(stack, name)


def _delete(stack: Stack, name: str, resource: Any, made_from: dict[str, Any]) -> None:
    with _told(stack, name, made_from["Type"], "DELETE"):
        resources.delete(resource, made_from, stack.region_name)


@contextmanager
def _told(stack: Stack, name: str, kind: str, doing: str) -> Iterator[None]:
    """Tell in the stack's events how it goes with one resource."""
    try:
        yield
    except Exception as error:
        _resource_event(stack, name, kind, f"{doing}_FAILED", reason=f"{type(error).__name__}: {error}")
        raise
    _resource_event(stack, name, kind, f"{doing}_COMPLETE")


def _resource_event(stack: Stack, name: str, kind: str, status: str, reason: str | None = None) -> None:
    resource = stack.resource_map._parsed_resources.get(name)
    event = Event(
        stack_id=stack.stack_id,
        stack_name=stack.name,
        logical_resource_id=name,
        physical_resource_id=getattr(resource, "physical_resource_id", "") or "",
        resource_type=kind,
        resource_status=status,
        resource_status_reason=reason,
        resource_properties=None,
    )
    stack.events.append(event)


def _resolved(stack: Stack, name: str) -> dict[str, Any]:
    """Type and properties of a resource, references replaced; whatever else changes, it stays as it is."""
    part = stack.template_dict["Resources"][name]
    properties = clean_json(part.get("Properties", {}), stack.resource_map)
    return {"Type": part["Type"], "Properties": properties}


def _update_all(
    stack: Stack,
    template: str,
    parameters: dict[str, Any],
    outdated: list[tuple[str, Any, dict[str, Any]]],
) -> None:
    """Make the stack what a template says; resources to delete at the end are added to the list."""
    old, parsed = stack.resource_map._resource_json_map, stack.resource_map._parsed_resources
    made_from = _made_from[stack.stack_id]
    _take_template(stack, template, parameters)
    new = _wanted(stack)
    for name in creation_order(new):
        if name not in parsed:
            _make(stack, name)
        elif _resolved(stack, name) != made_from[name]:
            outdated += _changed(stack, name)
    for name in deletion_order(old):
        if name not in new and name in made_from:
            _delete(stack, name, parsed.pop(name), made_from.pop(name))


def _take_template(stack: Stack, template: str, parameters: dict[str, Any]) -> None:
    resource_map = stack.resource_map
    # "As before" reaches us as the value that moto found in SSM, and would be taken for a name there.
    before = resource_map.resolved_parameters
    parameters = {key: value for key, value in parameters.items() if value != before.get(key)}
    stack.template, stack.parameters = template, parameters
    stack._parse_template()
    resource_map._template = stack.template_dict
    resource_map._resource_json_map = stack.template_dict["Resources"]
    resource_map.input_parameters = parameters
    resource_map.load()


def _changed(stack: Stack, name: str) -> list[tuple[str, Any, dict[str, Any]]]:
    """Change or replace a resource; give the old one, with what it was made from, if it has to go."""
    parsed, was = stack.resource_map._parsed_resources, _made_from[stack.stack_id][name]
    before = parsed[name]
    made = resources.change(before, _resolved(stack, name), was, stack.region_name)
    if made is None:
        del parsed[name]
    else:
        parsed[name] = made
    try:
        _make(stack, name)
    except Exception:
        parsed[name] = before
        raise
    if parsed[name].physical_resource_id == before.physical_resource_id:
        return []
    return [(name, before, was)]


def _delete_all(stack: Stack) -> None:
    resource_map, made_from = stack.resource_map, _made_from[stack.stack_id]
    templates = resource_map._resource_json_map
    users = users_of(templates)
    failures: list[Exception] = []
    for name in deletion_order(templates):
        if name not in made_from or templates[name].get("DeletionPolicy") == "Retain":
            continue
        if any(user in made_from for user in users[name]):  # could not be deleted
            continue
        try:
            _delete(stack, name, resource_map._parsed_resources[name], made_from[name])
        except Exception as error:  # noqa: BLE001 - others are deleted all the same
            failures.append(error)
        else:
            del made_from[name]
            del resource_map._parsed_resources[name]
    # Whoever asks about the stack would make the deleted ones again.
    resource_map._resource_json_map = {name: part for name, part in templates.items() if name in made_from}
    stack.output_map = OutputMap(resource_map, {"Outputs": {}}, stack.stack_id)
    if failures:
        raise failures[0]


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


def users_of(templates: dict[str, Any]) -> dict[str, list[str]]:
    """By logical id: what refers to a resource or depends on it."""
    users: dict[str, list[str]] = {name: [] for name in templates}
    for name, part in templates.items():
        for needed in set(_references(part)) & templates.keys():
            users[needed].append(name)
    return users


def deletion_order(templates: dict[str, Any]) -> list[str]:
    """Logical ids in the order in which their deletions end.

    CloudFormation deletes at once whatever nothing that is left refers to or depends on, so what is quick is
    gone while machines still leave, unless the template has it wait for them.
    """
    users = users_of(templates)
    ends: dict[str, int] = {}
    for name in reversed(creation_order(templates)):
        begins = max((ends[user] for user in users[name]), default=0)
        ends[name] = begins + _MINUTES_TO_DELETE.get(templates[name]["Type"], 0)
    return sorted(ends, key=lambda name: ends[name])


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    elif isinstance(value, dict):
        yield from _named(value)
        for item in value.values():
            yield from _references(item)


def _named(value: dict[str, Any]) -> Iterator[str]:
    match value:
        case {"Ref": str() as name} | {"Fn::GetAtt": [str() as name, *_]} | {"DependsOn": str() as name}:
            yield name
        case {"DependsOn": list() as names}:
            yield from names
        case {"Fn::Sub": str() as text}:
            yield from _IN_SUB.findall(text)
