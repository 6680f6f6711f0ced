"""What the reference pages are made from: every setting's docstring names its default, and sections become lists."""

from __future__ import annotations

import inspect
import re

import pytest

from rios_batch.controls import ApplierControls
from rios_batch.model.grid import FOOTPRINT_NAMES
from rios_batch.model.settingnames import SETTERS_FOR_IMAGE, SETTERS_FOR_RUN
from scripts.docstrings import as_markdown

SETTERS = sorted(name for name in vars(ApplierControls) if name.startswith(("set", "select")))
OPTIONS = {setter: option for option, setter in (SETTERS_FOR_IMAGE | SETTERS_FOR_RUN).items()}
# Of several options, or of none.
WITHOUT_ONE_OPTION = {
    "setWindowSize": "256 and 256",
    "setOtherArgsMerge": "none",
    "setOptionForImagename": None,  # the option's own
}
# What a docstring says in words.
IN_WORDS = {
    "setCallBeforeClose": "None, no call",
    "setTileSize": "several tiles a worker",
    "setConcurrencyStyle": "none",
    "setOutputDriverName": "what the file's extension says",
    "setOverviewLevels": "4, 8, 16, ... 512",
    "setWorkerEnvironment": "None, none",
}


def default_in(setter: str) -> str | None:
    """Return what the first paragraph of a setter's docstring says of its default."""
    first = inspect.cleandoc(getattr(ApplierControls, setter).__doc__).partition("\n\n")[0].replace("\n", " ")
    found = re.search(r"; default (.+)\.$", first)
    return found and found[1]


def as_written(option: str) -> str:
    value = getattr(ApplierControls(), option)
    if option == "footprint":
        return FOOTPRINT_NAMES[value]
    return value if option == "vectordatatype" else repr(value)


@pytest.mark.parametrize("setter", SETTERS)
def test_the_first_sentence_of_a_setter_names_the_default_that_it_has(setter: str) -> None:
    said = default_in(setter)

    if setter in WITHOUT_ONE_OPTION:
        assert said == WITHOUT_ONE_OPTION[setter]
    elif setter in IN_WORDS:
        assert said == IN_WORDS[setter]
    else:
        assert said is not None
        assert re.match(rf"{re.escape(as_written(OPTIONS[setter]))}($|[,;] )", said)


@pytest.mark.parametrize(
    ("setter", "unit"),
    [
        *(
            (setter, "in pixels")
            for setter in ("setWindowXsize", "setWindowYsize", "setWindowSize", "setOverlap")
        ),
        *(("setTileSize", "in pixels"), ("setOverviewMinDim", "pixels")),
        *(("setWaitLimit", "seconds"), ("setMaxCost", "in US dollars")),
    ],
)
def test_the_first_sentence_of_a_setter_names_the_unit(setter: str, unit: str) -> None:
    assert unit in inspect.cleandoc(getattr(ApplierControls, setter).__doc__).partition("\n\n")[0]


def test_sections_of_a_docstring_become_lists() -> None:
    docstring = """Do it, as :func:`apply` does.

    Like this::

        do()

    And so. ::

        undo()

    Parameters
    ----------
    first, second : two numbers,
        in pixels.
    third : a name.

    Returns
    -------
    A number.

    Raises
    ------
    ParameterError : a number is negative.
    Nothing : else.
    """

    assert as_markdown(docstring) == (
        "Do it, as `apply` does.\n\nLike this:\n\n    do()\n\nAnd so.\n\n    undo()\n\n"
        "**Parameters**\n\n- `first, second`: two numbers, in pixels.\n- `third`: a name.\n\n"
        "**Returns**\n\nA number.\n\n**Raises**\n\n- `ParameterError`: a number is negative.\n- Nothing: else."
    )
