"""The default stack's template, as ``npx cdk deploy`` makes it. The emulation needs neither the CDK nor Node.js.

A test compares `stack.template.json` with what cdk_app makes.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

from rios_batch import __version__
from rios_batch.contract import StackOutput

SHIPPED = Path(__file__).with_name("stack.template.json")
# What stands in the file for what differs from one machine, or one edit, to the next.
VERSION, PYTHON, IMAGE_HASH = "<version>", "<python>", "<image hash>"


def default_template() -> dict[str, Any]:
    """Return the template of a stack with default settings, deployed from this version with this Python."""
    text = SHIPPED.read_text("utf-8").replace(IMAGE_HASH, "0" * 64)
    template: dict[str, Any] = json.loads(text)
    outputs = template["Outputs"]
    outputs[StackOutput.VERSION]["Value"] = __version__
    outputs[StackOutput.PYTHON]["Value"] = ".".join(platform.python_version_tuple()[:2])
    return template


def pushed_tags(template: dict[str, Any]) -> list[str]:
    """Tags of the images that `cdk deploy` pushes before it creates the stack."""
    resources = template["Resources"].values()
    return [
        resource["Properties"]["Tag"] for resource in resources if resource["Type"] == "Custom::PushedImage"
    ]
