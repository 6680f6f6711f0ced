"""Checks of the values that a script or the environment gives to a setting.

A function takes what was given, and returns the value that the setting keeps. ``what`` is the setting's name in the
sentence of the error. ``environment`` is ``os.environ``, or any other mapping of variables.
"""

from __future__ import annotations

import functools
import numbers
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from rios_batch.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

_OF_A_WORKER = ("AWS_", "RIOS_")

P = ParamSpec("P")
R = TypeVar("R")


def whole_number(value: Any, what: str, *, at_least: int) -> int:
    """Return a whole number as an ``int``; numpy's numbers and 2.0 are whole numbers too.

    Raises
    ------
    ParameterError : the value is no whole number, or less than ``at_least``.
    """
    try:
        whole = None if isinstance(value, bool | str) else int(value)
    except (TypeError, ValueError, OverflowError):  # None, a list, nan, inf
        whole = None
    if whole is None or whole != value or whole < at_least:
        raise ParameterError(f"the {what} must be a whole number of at least {at_least}, not {value!r}")
    return whole


def number(value: Any, what: str) -> float:
    """Return a real number as an ``int`` or ``float``.

    Raises
    ------
    ParameterError : the value is no number, or a bool.
    """
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)  # numpy's numbers are not written like Python's
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return float(value)
    raise ParameterError(f"the {what} must be a number, not {value!r}")


def items(values: Iterable[Any] | None, what: str) -> list[Any] | None:
    """Return the items of a list; None stays None.

    Raises
    ------
    ParameterError : the value is one text, which Python would take for a list of letters.
    """
    if isinstance(values, str):
        raise ParameterError(f"{what} are a list, such as [{values!r}], not a text")
    return None if values is None else list(values)


def environment(declared: Iterable[str] | Mapping[str, str] | None) -> list[str] | dict[str, str]:
    """Return names of environment variables, or variables with their values; none for None.

    Raises
    ------
    ParameterError : the value is one text, a name or a value is none that an environment can have, or a variable is one
        that says where and as whom a worker works.
    """
    what = "environment variables of workers"
    found = dict(declared) if isinstance(declared, Mapping) else items(declared, what) or []
    for name in found:
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise ParameterError(f"{what} have names such as 'MY_SETTING', not {name!r}")
        if name.startswith(_OF_A_WORKER):
            raise ParameterError(
                f"{name} cannot be an environment variable of workers: a worker has its own AWS_ and RIOS_ variables, "
                "and credentials do not travel; give the worker's role what it needs"
            )
    for name, value in found.items() if isinstance(found, dict) else ():
        if not isinstance(value, str) or "\0" in value:
            raise ParameterError(f"{what} have texts as values, but {name} has {value!r}")
    return found


def name_among(allowed: Collection[str], given: Any, what: str) -> str:
    """Return a name in capitals.

    Raises
    ------
    ParameterError : the name is not among the allowed ones.
    """
    if (name := str(given).upper()) in allowed:
        return name
    raise ParameterError(f"{what} {given!r}: use one of {', '.join(allowed)}")


def also_named(**other_names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a method take keywords by the names of another generation of RIOS too.

    Parameters
    ----------
    other_names : the method's own name of a keyword, by its other name.
    """

    def decorated(method: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(method)
        def with_own_names(*args: Any, **keywords: Any) -> R:
            for other, own in other_names.items():
                if other in keywords and own not in keywords:
                    keywords[own] = keywords.pop(other)
            return method(*args, **keywords)

        return with_own_names

    return decorated


def call_with_arguments(function: Callable[..., object], arguments: tuple[Any, ...], first: Any) -> object:
    """Call a function with an object, then its own arguments."""
    return function(first, *arguments)


def text_from(environment: Mapping[str, str], variable: str) -> str | None:
    """Return a variable's text; None if it is not set, or empty."""
    return environment.get(variable) or None


def word_from(environment: Mapping[str, str], variable: str, allowed: Collection[str]) -> str | None:
    """Return a variable's text, which is one of the allowed words; None if it is not set, or empty.

    Raises
    ------
    ParameterError : the text is none of the allowed words.
    """
    word = text_from(environment, variable)
    if word is not None and word not in allowed:
        raise ParameterError(
            f"environment variable {variable} must be one of {', '.join(allowed)}, not {word!r}"
        )
    return word


def name_from(environment: Mapping[str, str], variable: str, allowed: Collection[str]) -> str | None:
    """Return a variable's text in capitals, which is one of the allowed names; None if it is not set, or empty.

    Raises
    ------
    ParameterError : the text is none of the allowed names.
    """
    text = text_from(environment, variable)
    return None if text is None else name_among(allowed, text, f"environment variable {variable}")


def whole_number_from(
    environment: Mapping[str, str],
    variable: str,
    default: int,
    *,
    at_least: int | None = None,
    among: Collection[int] | None = None,
) -> int:
    """Return a variable's whole number; the default if it is not set, or empty.

    Raises
    ------
    ParameterError : the text is no whole number, less than ``at_least``, or none of ``among``.
    """
    text = environment.get(variable)
    if not text:
        return default
    value = int(text) if text.strip().removeprefix("-").isdecimal() else None
    if value is None or (at_least is not None and value < at_least) or (among and value not in among):
        allowed = f"at least {at_least}" if among is None else f"one of {', '.join(map(str, among))}"
        raise ParameterError(
            f"environment variable {variable} must be a whole number, {allowed}, not {text!r}"
        )
    return value


def levels_from(environment: Mapping[str, str], variable: str, default: Iterable[int]) -> list[int]:
    """Return a variable's overview levels, each once and in order; the default if it is not set, or empty.

    Raises
    ------
    ParameterError : the text is something else than whole numbers of at least 2 with commas or blanks between them.
    """
    text = environment.get(variable)
    if not text:
        return list(default)
    words = text.replace(",", " ").split()
    if not words or any(not word.isdecimal() or int(word) < 2 for word in words):  # noqa: PLR2004 - 1 is no overview
        raise ParameterError(
            f"environment variable {variable} must be whole numbers of at least 2, such as '4,8,16', not {text!r}"
        )
    return sorted({int(word) for word in words})
