from __future__ import annotations

import inspect
import pickle

import pytest

from rios_batch import errors, geotiff, rioserrors, tile

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
        (errors.UnavailableError, AttributeError),
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
    ],
)
def test_an_error_is_under_the_general_one_of_its_kind(cls: type[Exception], parent: type[Exception]) -> None:
    assert issubclass(cls, parent)


# Names of RIOS 1.4's rioserrors that have a counterpart; ported scripts name them in except clauses.
RIOS_NAMES = [
    "RiosError",
    "FileOpenError",
    "ImageOpenError",
    "ParameterError",
    "GDALLayerNumberError",
    "ResampleNeededError",
    "ArrayShapeError",
    "TypeConversionError",
    "KeysMismatch",
    "MismatchedListLengthsError",
    "IntersectionError",
    "JobMgrError",
    "ProcessCancelledError",
    "UnavailableError",
]


@pytest.mark.parametrize("name", RIOS_NAMES)
def test_rioss_name_and_module_lead_to_the_same_class(name: str) -> None:
    assert getattr(rioserrors, name) is getattr(errors, name)


def test_rioss_root_is_ours() -> None:
    assert errors.RiosError is errors.RiosBatchError


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
