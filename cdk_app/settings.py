"""What a person can choose when deploying; read once, checked together, before anything is made."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from cdk_app.combinations import problems
from cdk_app.fields import SettingFields


class DeploySettings(SettingFields):
    """All settings of a deployment, each allowed and all going together.

    Raises
    ------
    pydantic.ValidationError : a value is not allowed, or values do not go together; has a line for each problem.
    """

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        found = list(problems(self))
        if found:
            raise ValueError("\n".join(found))
        return self
