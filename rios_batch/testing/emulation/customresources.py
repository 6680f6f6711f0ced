"""Custom resources: runs the code of their Lambda function, as deployed, with its role's permissions."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any, Self
from uuid import uuid4

import boto3
from moto.awslambda.utils import get_backend
from moto.cloudformation.custom_model import CustomModel

from rios_batch.testing.emulation.batch import credentials
from rios_batch.testing.emulation.patching import replace


class EmulatedCustomResource(CustomModel):
    """A custom resource, with what every request about it says."""

    context: dict[str, str]
    logical_resource_id: str
    cf_resource_type: str

    # moto leaves these abstract and never calls them.
    cloudformation_name_type = staticmethod(lambda: "")
    update_from_cloudformation_json = classmethod(lambda *_, **__: None)
    delete_from_cloudformation_json = classmethod(lambda *_, **__: None)


def patch() -> None:
    """Put this in place of moto's own, which needs Docker and forgets to delete."""
    replace(CustomModel, "create_from_cloudformation_json", staticmethod(_create))


def _create(
    resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **more: Any
) -> EmulatedCustomResource:
    resource = EmulatedCustomResource(region_name, str(uuid4()), more["LogicalId"], resource_name)
    resource.context = {
        "StackId": more["StackId"],
        "LogicalResourceId": more["LogicalId"],
        "ResourceType": more["ResourceType"],
    }
    answer = _ask(resource, account_id, "Create", cloudformation_json["Properties"])
    resource.resource_name = answer["PhysicalResourceId"]
    resource.set_data(answer.get("Data", {}))
    return resource


def change(
    resource: EmulatedCustomResource, account_id: str, properties: dict[str, Any], was: dict[str, Any]
) -> EmulatedCustomResource:
    """Ask for an update; a new physical id in the answer is a new resource."""
    answer = _ask(
        resource,
        account_id,
        "Update",
        properties,
        PhysicalResourceId=resource.resource_name,
        OldResourceProperties=was,
    )
    changed = EmulatedCustomResource(
        resource.region_name, str(uuid4()), resource.logical_id, answer["PhysicalResourceId"]
    )
    changed.context = resource.context
    changed.logical_resource_id = resource.logical_resource_id
    changed.cf_resource_type = resource.cf_resource_type
    changed.set_data(answer.get("Data", {}))
    return changed


def delete(resource: EmulatedCustomResource, account_id: str, properties: dict[str, Any]) -> None:
    """Ask for deletion."""
    _ask(resource, account_id, "Delete", properties, PhysicalResourceId=resource.resource_name)


def _ask(
    resource: EmulatedCustomResource,
    account_id: str,
    request_type: str,
    properties: dict[str, Any],
    **more: Any,
) -> dict[str, Any]:
    function = get_backend(account_id, resource.region_name).get_function(properties["ServiceToken"])
    with _AnswerBox() as box:
        event = {
            "RequestType": request_type,
            "ServiceToken": properties["ServiceToken"],
            "ResponseURL": box.url,
            "RequestId": str(uuid4()),
            "ResourceProperties": {key: _as_text(value) for key, value in properties.items()},
            **resource.context,
            **more,
        }
        _invoke(function, event, resource.region_name)
        answer = box.answer()
    if answer["Status"] != "SUCCESS":
        raise RuntimeError(f"{event['LogicalResourceId']}: {answer.get('Reason')}")
    return answer


def _as_text(value: Any) -> Any:
    """Turn numbers and truths into text, as CloudFormation does."""
    if isinstance(value, dict):
        return {key: _as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _invoke(function: Any, event: dict[str, Any], region: str) -> None:
    """Run a Python function with inline code in this process: everything it calls comes back as a request."""
    role = credentials(function.role, "custom-resource")
    session = boto3.Session(
        aws_access_key_id=role["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=role["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=role["AWS_SESSION_TOKEN"],
        region_name=region,
    )
    names: dict[str, Any] = {"__name__": "index", "print": lambda *_: None}
    exec(compile(_source(function), "index.py", "exec"), names)
    names["boto3"] = session  # has what the module has: client and resource
    handler = names[function.handler.rpartition(".")[2]]
    handler(event, SimpleNamespace(get_remaining_time_in_millis=lambda: int(function.timeout) * 1000))


def _source(function: Any) -> bytes:
    with zipfile.ZipFile(io.BytesIO(function.code_bytes)) as archive:
        return archive.read("index.py")


class _AnswerBox:
    """Where a function leaves its answer: a place of its own, as CloudFormation's is."""

    def __init__(self) -> None:
        self._answers: list[dict[str, Any]] = []
        answers = self._answers

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                answers.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self) -> dict[str, Any]:
        (answer,) = self._answers
        return answer
