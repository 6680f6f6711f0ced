from __future__ import annotations

import inspect
import pickle
import traceback

import pytest

from rios_batch import errors, rioserrors
from rios_batch.compute import tile
from rios_batch.model import geotiff

CLASSES = [cls for cls in vars(errors).values() if inspect.isclass(cls) and issubclass(cls, Exception)] + [
    geotiff.TiffFormatError,
    tile.StoppedError,
]


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if not issubclass(cls, Warning)])
def test_every_error_is_under_the_one_root(cls: type[Exception]) -> None:
    assert issubclass(cls, errors.RiosBatchError)


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (errors.MissingFileError, FileNotFoundError),
        (errors.FileOpenError, OSError),
        (errors.ImageOpenError, OSError),
        (errors.OutputError, OSError),
        (errors.ParameterError, ValueError),
        (errors.GDALLayerNumberError, ValueError),
        (errors.GridError, ValueError),
        (errors.BlockError, ValueError),
        (errors.TypeConversionError, TypeError),
        (geotiff.TiffFormatError, ValueError),
    ],
)
def test_an_error_is_also_the_builtin_that_scripts_would_catch(
    cls: type[Exception], builtin: type[Exception]
) -> None:
    with pytest.raises(builtin):
        raise cls("message")


@pytest.mark.parametrize(
    ("cls", "parent"),
    [
        (errors.MissingFileError, errors.FileOpenError),
        (errors.ImageOpenError, errors.FileOpenError),
        (errors.ResampleNeededError, errors.GridError),
        (errors.IntersectionError, errors.GridError),
        (errors.GDALLayerNumberError, errors.ParameterError),
        (errors.ArrayShapeError, errors.BlockError),
        (errors.TypeConversionError, errors.BlockError),
        (errors.KeysMismatch, errors.BlockError),
        (errors.MismatchedListLengthsError, errors.BlockError),
        (errors.PicklingFailedError, errors.JobMgrError),
        (errors.WorkerLostError, errors.JobMgrError),
        (errors.WorkerLostError, errors.WorkerExceptionError),
        (errors.UserFunctionError, errors.WorkerExceptionError),
        (errors.WrongControlsObject, errors.ParameterError),
    ],
)
def test_an_error_is_under_the_general_one_of_its_kind(cls: type[Exception], parent: type[Exception]) -> None:
    assert issubclass(cls, parent)


# All names of RIOS's rioserrors, 1.4 and 2.x, which ported scripts have in except clauses, and what they catch here:
# a class of this project's, or None where the same cannot happen.
RIOS_NAMES: dict[str, type[Exception] | None] = {
    "RiosError": errors.RiosBatchError,
    "FileOpenError": errors.FileOpenError,
    "ImageOpenError": errors.ImageOpenError,
    "ParameterError": errors.ParameterError,
    "GDALLayerNumberError": errors.GDALLayerNumberError,
    "ResampleNeededError": errors.ResampleNeededError,
    "OutsideImageBoundsError": errors.ArrayShapeError,
    "GdalWarpError": errors.GdalWarpError,
    "ThematicError": errors.ThematicError,
    "ProcessCancelledError": errors.ProcessCancelledError,
    "KeysMismatch": errors.KeysMismatch,
    "MismatchedListLengthsError": errors.MismatchedListLengthsError,
    "AttributeTableColumnError": None,
    "AttributeTableTypeError": None,
    "ArrayShapeError": errors.ArrayShapeError,
    "TypeConversionError": errors.TypeConversionError,
    "VectorAttributeError": errors.VectorAttributeError,
    "VectorGeometryTypeError": None,
    "VectorProjectionError": errors.VectorProjectionError,
    "VectorRasterizationError": errors.VectorRasterizationError,
    "VectorLayerError": errors.VectorLayerError,
    "WrongControlsObject": errors.WrongControlsObject,
    "RatBlockLengthError": None,
    "RatMismatchError": None,
    "IntersectionError": errors.IntersectionError,
    "JobMgrError": errors.JobMgrError,
    "ColorTableGenerationError": errors.ColorTableGenerationError,
    "PermissionError": None,
    "TimeoutError": None,
    "UnavailableError": None,
    "WorkerExceptionError": errors.WorkerExceptionError,
    "SinglePassActionsError": None,
    "ECSError": None,
}


@pytest.mark.parametrize(("name", "caught"), RIOS_NAMES.items())
def test_every_name_of_rioserrors_is_there(name: str, caught: type[Exception] | None) -> None:
    found = getattr(rioserrors, name)

    assert issubclass(found, errors.RiosBatchError)
    if caught is not None:
        assert found is caught
    else:
        assert not any(issubclass(cls, found) for cls in CLASSES)
        with pytest.raises(found, match="a message"):
            raise found("a message")


def test_no_name_of_rioss_hides_one_of_ours() -> None:
    assert [cls for cls in CLASSES if getattr(rioserrors, cls.__name__, cls) is not cls] == []


def test_rios_1s_error_of_aws_batch_has_its_name_there() -> None:
    from rios_batch import batch  # noqa: PLC0415 - loads boto3

    assert batch.AWSBatchException is errors.JobMgrError


def test_rioss_root_is_ours() -> None:
    assert errors.RiosError is errors.RiosBatchError


def line_of(cls: type[Exception]) -> str:
    """Return what the drawing says of a class: its name, a star if it is RIOS's, its other bases."""
    star = " *" if RIOS_NAMES.get(cls.__name__) is cls else ""
    others = [base.__name__ for base in cls.__bases__[1:]]
    return f"{cls.__name__}{star}" + (f" ({', '.join(others)})" if others else "")


def drawing_below(cls: type[Exception], indent: str = "") -> list[str]:
    """Draw the subclasses that stand in the module, in its order."""
    children = [
        child for child in CLASSES if child.__bases__[0] is cls and child.__module__ == errors.__name__
    ]
    lines = []
    for child in children:
        first, others = ("└── ", "    ") if child is children[-1] else ("├── ", "│   ")
        lines += [indent + first + line_of(child), *drawing_below(child, indent + others)]
    return lines


def test_the_tree_in_the_docstring_is_that_of_the_classes() -> None:
    drawn = [line[4:] for line in (errors.__doc__ or "").splitlines() if line.startswith("    ")]

    assert drawn[0] == "RiosBatchError, by RIOS's name RiosError *"
    assert drawn[1:] == drawing_below(errors.RiosBatchError)


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_survives_the_way_from_a_worker(cls: type[Exception]) -> None:
    error = pickle.loads(pickle.dumps(cls("a message that names the culprit")))

    assert type(error) is cls
    assert str(error) == "a message that names the culprit"


def test_a_user_functions_error_keeps_its_traceback_on_the_way_from_a_worker() -> None:
    error = errors.UserFunctionError(
        "f raised", exception_type="builtins.ValueError", traceback_text="Traceback ..."
    )

    again = pickle.loads(pickle.dumps(error))

    assert (again.exception_type, again.traceback_text) == ("builtins.ValueError", "Traceback ...")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:hush@host/a.tif", "https://***@host/a.tif"),
        ("/vsicurl/https://me:hush@host/a.tif", "/vsicurl/https://***@host/a.tif"),
        ("https://host/a.tif?sv=2024&sig=hush%2Fhush&se=2027", "https://host/a.tif?sv=2024&sig=***&se=2027"),
        ("https://host/a.tif?X-Amz-Credential=hush&X-Amz-Signature=hush", "***"),
        ("https://host/a@b.tif?band=1", "https://host/a@b.tif?band=1"),
    ],
)
def test_credentials_in_urls_are_no_part_of_a_message(url: str, shown: str) -> None:
    error = errors.ImageOpenError(f"input {url!r} cannot be opened")

    for text in (str(error), "".join(traceback.format_exception_only(error))):
        assert "hush" not in text
        assert shown in text
