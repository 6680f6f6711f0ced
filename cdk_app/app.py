"""The CDK app: settings in, one stack out. ``python -m cdk_app.app`` is what the CDK's command line runs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from aws_cdk import App

from cdk_app.loading import SettingsError, load_settings
from cdk_app.pythons import announcement
from cdk_app.stack import RiosBatchStack

if TYPE_CHECKING:
    from cdk_app.settings import DeploySettings

FLAGS = {
    "@aws-cdk/aws-iam:minimizePolicies": True,
    "@aws-cdk/core:newStyleStackSynthesis": True,
}
"""CDK behaviours that the templates rely on, set here so that tests and the command line agree."""


def build(settings: DeploySettings, *, app: App | None = None) -> RiosBatchStack:
    """Make the one stack in an app; bare ``cdk deploy`` and ``cdk destroy`` refuse when there are two."""
    # The construct's id is in Name tags, so that the machines of two stacks can be told apart.
    return RiosBatchStack(app or make_app(), settings.stack_name, settings=settings)


def make_app() -> App:
    """Make an app without the CDK's usage reporting, which would be a resource in the template."""
    return App(analytics_reporting=False, post_cli_context=FLAGS)


def main() -> int:
    """Synthesize what the context and the environment ask for."""
    app = make_app()
    try:
        settings = load_settings(app.node.get_all_context(), os.environ)
    except SettingsError as error:
        print(f"settings that are not allowed:\n{error}", file=sys.stderr)  # noqa: T201
        return 2
    print(announcement(settings), file=sys.stderr)  # noqa: T201
    build(settings, app=app)
    app.synth()
    return 0


if __name__ == "__main__":
    sys.exit(main())
