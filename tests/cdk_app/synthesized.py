"""A synthesized template, with what tests ask of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ACCOUNT, REGION = "123456789012", "us-west-2"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/RiosBatch/1a2b3c4d-0000-11ee-8c90-02",
    "AWS::StackName": "RiosBatch",
}
# What CloudFormation answers to Ref where that is an ARN.
ARN_REFS = {
    "AWS::Batch::JobDefinition": f"arn:aws:batch:{REGION}:{ACCOUNT}:job-definition/{{}}:1",
    "AWS::Batch::JobQueue": f"arn:aws:batch:{REGION}:{ACCOUNT}:job-queue/{{}}",
    "AWS::IAM::ManagedPolicy": f"arn:aws:iam::{ACCOUNT}:policy/{{}}",
}
ARNS = {
    **ARN_REFS,
    "AWS::S3::Bucket": "arn:aws:s3:::{}",
    "AWS::ECR::Repository": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{{}}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{{}}:*",
}


@dataclass(frozen=True)
class Stack:
    """One synthesized stack.

    Attributes
    ----------
    template : the template.
    path : its file.
    assets : the asset manifest beside it.
    """

    template: dict[str, Any]
    path: Path
    assets: dict[str, Any]

    def of_type(self, resource_type: str) -> dict[str, Any]:
        return {
            name: resource
            for name, resource in self.template["Resources"].items()
            if resource["Type"] == resource_type
        }

    def only(self, resource_type: str, **wanted: Any) -> dict[str, Any]:
        """Properties of the one resource of a type that has these properties."""
        found = [
            resource.get("Properties", {})
            for resource in self.of_type(resource_type).values()
            if wanted.items() <= resource.get("Properties", {}).items()
        ]
        assert len(found) == 1, f"{len(found)} of {resource_type} with {wanted}"
        properties: dict[str, Any] = found[0]
        return properties

    def named(self, resource_type: str, beginning: str) -> tuple[str, dict[str, Any]]:
        """Logical id and resource of the one of a type whose construct path begins so."""
        found = [
            (name, resource)
            for name, resource in self.of_type(resource_type).items()
            if resource["Metadata"]["aws:cdk:path"].partition("/")[2].startswith(beginning)
        ]
        assert len(found) == 1, f"{len(found)} of {resource_type} at {beginning}"
        return found[0]

    def properties(self, resource_type: str, beginning: str) -> dict[str, Any]:
        properties: dict[str, Any] = self.named(resource_type, beginning)[1]["Properties"]
        return properties

    def outputs(self) -> dict[str, str]:
        return {key: str(self.value(output["Value"])) for key, output in self.template["Outputs"].items()}

    def statements(self, role: str) -> list[dict[str, Any]]:
        """Statements of all policies of a role or managed policy, by logical id, evaluated."""
        documents = [
            resource["Properties"]["PolicyDocument"]
            for name, resource in self.template["Resources"].items()
            if (name == role and resource["Type"] == "AWS::IAM::ManagedPolicy")
            or (resource["Type"] == "AWS::IAM::Policy" and {"Ref": role} in resource["Properties"]["Roles"])
        ]
        return [self.value(statement) for document in documents for statement in document["Statement"]]

    def needs(self, name: str) -> set[str]:
        """Logical ids of all that is made before a resource, and deleted after it."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            resource = self.template["Resources"][waiting.pop()]
            new = (set(_references(resource)) & self.template["Resources"].keys()) - found
            found |= new
            waiting += new
        return found

    def value(self, value: Any) -> Any:
        """Evaluate intrinsic functions as CloudFormation would, with made-up names."""
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            name, argument = next(iter(value.items()))
            if name == "Ref" or name.startswith("Fn::"):
                return self._function(name, argument)
        return {key: self.value(item) for key, item in value.items()}

    def _function(self, name: str, argument: Any) -> Any:
        functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Fn::GetAtt": lambda pair: self._attribute(*pair),
            "Fn::Join": lambda pair: str(pair[0]).join(self.value(pair[1])),
            "Fn::Split": lambda pair: str(self.value(pair[1])).split(pair[0]),
            "Fn::Select": lambda pair: self.value(pair[1])[int(pair[0])],
            "Fn::GetAZs": lambda _: [f"{REGION}{letter}" for letter in "abcdef"],
            "Fn::Sub": lambda text: re.sub(r"\$\{([^}]+)\}", lambda match: self._ref(match[1]), text),
            "Fn::Base64": self.value,
        }
        return functions[name](argument)

    def _attribute(self, name: str, attribute: str) -> str:
        if not attribute.endswith("Arn"):
            return f"{name}.{attribute}"
        return ARNS.get(self.template["Resources"][name]["Type"], "arn:aws:other:::{}").format(name.lower())

    def _ref(self, name: str) -> str:
        if name in PSEUDO:
            return PSEUDO[name]
        resource_type = self.template["Resources"][name]["Type"]
        return ARN_REFS.get(resource_type, "{}").format(name.lower())


def _references(value: Any) -> Iterator[str]:
    """Names that a part of a template refers to."""
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            match key, item:
                case "Ref", str():
                    yield item
                case "Fn::GetAtt", [name, _]:
                    yield name
                case "DependsOn", _:
                    yield from [item] if isinstance(item, str) else item
                case _:
                    yield from _references(item)


def allowed(statements: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Each action with each resource that Allow statements name."""
    for statement in statements:
        assert statement["Effect"] == "Allow"
        for action in _listed(statement["Action"]):
            for resource in _listed(statement["Resource"]):
                yield action, resource


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
