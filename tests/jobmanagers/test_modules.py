"""A job whose modules a worker lacks, or has in another version."""

from __future__ import annotations

import importlib
import io
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast

import cloudpickle
import pytest

from rios_batch import applier
from rios_batch.errors import UnloadableJobError
from rios_batch.jobmanagers import pickling
from rios_batch.jobmanagers.children import Child, TileFailure, WorkOrder
from rios_batch.jobmanagers.modules import packages_of, why_unloadable
from rios_batch.jobmanagers.pickling import dump_other_args, dump_spec
from rios_batch.jobmanagers.sourcelines import dumps
from tests.jobmanagers.test_pickling import job_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rios_batch.model.tiles import Tile

SPEC = dump_spec(job_of(print))
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


SKLEARN = """
class DecisionTreeClassifier:
    classes_ = 3

    def __getstate__(self):
        return {{"nodes": "{version}"}}

    def __setstate__(self, state):
        if state["nodes"] != "{version}":
            raise ValueError("node array from the pickle has an incompatible dtype")
"""


def site_packages(folder: Path, sklearn: str) -> str:
    """Install a scikit-learn whose trees other versions cannot unpickle."""
    (folder / "sklearn").mkdir(parents=True)
    (folder / "sklearn" / "__init__.py").touch()
    (folder / "sklearn" / "tree.py").write_text(SKLEARN.format(version=sklearn))
    info = folder / f"scikit_learn-{sklearn}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: scikit-learn\nVersion: {sklearn}\n")
    (info / "top_level.txt").write_text("sklearn\n")
    return str(folder)


def forget_sklearn(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    importlib.invalidate_caches()


def test_a_classifier_in_other_args_needs_the_workers_scikit_learn_to_be_mains(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = site_packages(tmp_path / "main", "1.5.2")
    workers = site_packages(tmp_path / "workers", "1.3.0")
    monkeypatch.setattr(pickling, "_INSTALLED", (*pickling._INSTALLED, f"{tmp_path}/"))
    modules: set[str] = set()
    with monkeypatch.context() as main:
        forget_sklearn(main)
        main.syspath_prepend(here)
        tree = importlib.import_module("sklearn.tree").DecisionTreeClassifier()
        pickled = dump_other_args(applier.OtherInputs(tree=tree), modules=modules)
        packages = packages_of(modules)
    forget_sklearn(monkeypatch)
    monkeypatch.syspath_prepend(workers)  # a worker process is started with this one's path

    failure = reply_to_first_tile(SPEC, pickled, packages)

    assert packages == {"scikit-learn": "1.5.2"}
    with pytest.raises(
        UnloadableJobError,
        match=r"^otherArgs cannot be loaded .* node array .* incompatible dtype; main has scikit-learn 1\.5\.2, this "
        r"worker has 1\.3\.0; .*PIP_PACKAGES='scikit-learn==1\.5\.2' npx cdk",
    ):
        failure.unwrap()


def test_modules_of_other_args_are_noted() -> None:
    modules: set[str] = set()

    dump_other_args({"config": pytest.Config}, modules=modules)

    assert "_pytest.config" in modules
