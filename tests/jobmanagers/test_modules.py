"""A job whose modules a worker lacks, or has in another version."""

from __future__ import annotations

import io
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast

import cloudpickle
import pytest

from rios_batch.errors import UnloadableJobError
from rios_batch.jobmanagers.children import Child, TileFailure, WorkOrder
from rios_batch.jobmanagers.modules import packages_of, why_unloadable
from rios_batch.jobmanagers.pickling import dump_other_args, dump_spec
from rios_batch.jobmanagers.sourcelines import dumps
from tests.jobmanagers.test_pickling import job_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rios_batch.model.tiles import Tile

MISSING = b"csoil.forest\nForest\n."  # refers to a class of a module that is not there
INCOMPATIBLE = b"cbuiltins\nint\n(Vnode array\ntR."  # int("node array")


@pytest.mark.parametrize(
    ("value", "module"),
    [(pytest, "pytest"), (io.StringIO, "_io"), ([cloudpickle.dumps], "cloudpickle.cloudpickle")],
)
def test_modules_of_a_pickle_are_noted(value: Any, module: str) -> None:
    modules: set[str] = set()

    dumps(value, modules)

    assert module in modules


SPEC = dump_spec(job_of(print))


def test_packages_are_told_by_their_names_in_the_index() -> None:
    assert packages_of({"_pytest.config", "json", "numpy", "__main__", "of_no_package.x"}) == {
        "pytest": version("pytest")
    }


def test_without_packages_nothing_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rios_batch.jobmanagers.modules.packages_distributions", None)

    assert packages_of({"json", "numpy.random", "__main__"}) == {}


def test_a_package_that_fits_is_not_blamed() -> None:
    said = why_unloadable("otherArgs", ValueError("x"), {"pytest": version("pytest")})

    assert said.startswith("otherArgs cannot be loaded in a worker: ValueError: x; a module that")
    assert "pytest" not in said


def reply_to_first_tile(spec: bytes, other_args: bytes, packages: Mapping[str, str] | None) -> TileFailure:
    with WorkOrder(spec, other_args, 1, packages=packages).parcel() as parcel:
        child = Child.start(parcel)
    try:
        child.send(cast("Tile", "the first tile"))
        reply = child.receive()
    finally:
        child.terminate()
        child.join()
    assert isinstance(reply, TileFailure)
    return reply


@pytest.mark.parametrize("part", ["the function", "otherArgs"])
def test_a_missing_module_is_told_with_what_to_add_to_the_image(part: str) -> None:
    pickles = (MISSING, cloudpickle.dumps(None)) if part == "the function" else (SPEC, MISSING)

    failure = reply_to_first_tile(pickles[0], pickles[1], {"soil-science": "2.1"})

    with pytest.raises(
        UnloadableJobError,
        match=rf"^{part} cannot be loaded in a worker: ModuleNotFoundError: No module named 'soil'; main has "
        r"soil-science 2\.1, this worker has none; .*PIP_PACKAGES='soil-science==2\.1' npx cdk deploy",
    ):
        failure.unwrap()


def test_a_missing_module_on_mains_own_machine_is_told_without_images() -> None:
    failure = reply_to_first_tile(MISSING, cloudpickle.dumps(None), None)

    with pytest.raises(
        UnloadableJobError,
        match=r"No module named 'soil'; a worker process imports .* sys\.path says; make that",
    ) as caught:
        failure.unwrap()
    assert "PACKAGES" not in str(caught.value)


def test_a_module_of_another_version_is_told_with_both_versions() -> None:
    failure = reply_to_first_tile(SPEC, INCOMPATIBLE, {"pytest": "0.1"})

    with pytest.raises(
        UnloadableJobError,
        match=rf"otherArgs cannot be loaded .*node array.*; main has pytest 0\.1, this worker has "
        rf"{version('pytest')}; .*PIP_PACKAGES='pytest==0\.1'",
    ):
        failure.unwrap()


def test_modules_of_other_args_are_noted() -> None:
    modules: set[str] = set()

    dump_other_args({"config": pytest.Config}, modules=modules)

    assert "_pytest.config" in modules
