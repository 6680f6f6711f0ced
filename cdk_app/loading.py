"""Reads the deployment settings from where people put them, and says what is wrong with them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from cdk_app.combinations import region_problems
from cdk_app.settings import DeploySettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENV_PREFIX = "RIOS_BATCH_"
FILE_KEY = "rios_batch"
"""Key of the object in cdk.json's context that holds settings for everybody who deploys this checkout."""

_PROFILES_REGION = "CDK_DEFAULT_REGION"  # set by the CDK's command line
_CONTEXT = "context: -c, cdk.json or cdk.context.json"


class SettingsError(Exception):
    """Some settings are not allowed; the message has a line for each."""


def words(key: str) -> dict[str, str]:
    """Unit, allowed values, variable, default and effect of a setting, as text."""
    field = DeploySettings.model_fields[key]
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    default = field.default
    if isinstance(default, tuple | dict):
        default = " ".join(default)
    elif isinstance(default, bool):
        default = str(default).lower()
    return {
        "unit": str(extra["unit"]),
        "allowed": str(extra["allowed"]),
        "env": str(extra["env"]) or ENV_PREFIX + key.upper(),
        "default": "" if default is None else str(default),
        "effect": field.description or "",
    }


def load_settings(context: Mapping[str, Any], env: Mapping[str, str]) -> DeploySettings:
    """Read settings from the CDK context and the environment.

    ``-c key=value`` wins over the environment, which wins over the object ``rios_batch`` in cdk.json's
    context.

    Parameters
    ----------
    context : the app's whole context.
    env : the environment.

    Raises
    ------
    SettingsError : has a line for each setting that is unknown or not allowed.
    """
    of_file = context.get(FILE_KEY) or {}
    if not isinstance(of_file, dict):
        raise SettingsError(
            f"{FILE_KEY} in cdk.json's context is {of_file!r}; it must be an object of settings"
        )
    of_context = {key: value for key, value in context.items() if _is_ours(key)}
    variables = {words(key)["env"]: key for key in DeploySettings.model_fields}
    of_env = {key: env[name] for name, key in variables.items() if env.get(name)}
    unknown = list(_unknown(of_file, of_context, env, variables))
    if unknown:
        raise SettingsError("\n".join(unknown))
    try:
        settings = DeploySettings(**{**of_file, **of_env, **of_context})
    except ValidationError as error:
        raise SettingsError("\n".join(_lines(error))) from error
    if not settings.region and (found := list(region_problems(settings, env.get(_PROFILES_REGION, "")))):
        raise SettingsError("\n".join(found))
    return settings


def _is_ours(key: str) -> bool:
    """Whether a context key is meant for this app: CDK's own have a colon, slash, @ or hyphen in them.

    Those with a hyphen come from commands such as `cdk acknowledge`; a setting's key has underscores.
    """
    if key.replace("-", "_") in DeploySettings.model_fields:
        return True
    return key != FILE_KEY and not any(mark in key for mark in ":/@-")


def _unknown(
    of_file: Mapping[str, Any],
    of_context: Mapping[str, Any],
    env: Mapping[str, str],
    variables: Mapping[str, str],
) -> Iterator[str]:
    for source, keys in ((f"{FILE_KEY} in cdk.json", of_file), (_CONTEXT, of_context)):
        for key in keys:
            if key not in DeploySettings.model_fields:
                yield f"{key} ({source}) is not a setting{_hint(key, DeploySettings.model_fields)}"
    for name in env:
        # The runtime has variables with this prefix too, so only what looks like a slip is refused.
        close = difflib.get_close_matches(name, variables, n=1, cutoff=0.9)
        if name.startswith(ENV_PREFIX) and name not in variables and close:
            yield f"{name} (environment) is not a setting; did you mean {close[0]}?"


def _hint(key: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else "; docs/infrastructure.md has them all"


def _lines(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        if not problem["loc"]:
            yield problem["msg"].removeprefix("Value error, ")
            continue
        key = str(problem["loc"][0])
        about = words(key)
        unit = "" if about["unit"] == "-" else f" {about['unit']}"
        yield (
            f"{key} is {problem['input']!r}, allowed: {about['allowed']}{unit}"
            f" ({problem['msg'].removeprefix('Value error, ')});"
            f" set it with -c {key}=..., {about['env']} or cdk.json"
        )
