"""Names that scripts take from RIOS's package, its applier and its structures."""

from __future__ import annotations

from pathlib import Path

import rios_batch
from rios_batch import applier, pixelgrid, result, structures
from rios_batch.model import concurrency


def test_the_applier_has_rioss_grids_and_temporary_files() -> None:
    assert applier.PixelGridDefn is pixelgrid.PixelGridDefn
    assert applier.pixelGridFromFile is pixelgrid.pixelGridFromFile
    assert applier.findCommonRegion is pixelgrid.findCommonRegion
    assert applier.TempfileManager is structures.TempfileManager


def test_structures_has_the_containers_of_rios_2() -> None:
    assert structures.FilenameAssociations is applier.FilenameAssociations
    assert structures.BlockAssociations is applier.BlockAssociations
    assert structures.OtherInputs is applier.OtherInputs
    assert structures.ConcurrencyStyle is concurrency.ConcurrencyStyle
    assert structures.ApplierReturn is result.ApplierReturn
    assert structures.Timers is result.Timers


def test_the_package_names_the_version_of_rios_that_its_names_are_of() -> None:
    assert tuple(map(int, rios_batch.RIOS_VERSION.split("."))) >= (2, 0, 9)
    assert rios_batch.__version__ != rios_batch.RIOS_VERSION


def test_temporary_files_are_made_below_a_folder_and_removed_with_it(tmp_path: Path) -> None:
    manager = structures.TempfileManager(str(tmp_path))

    first, second = manager.mktempfile(prefix="a_", suffix=".tif"), manager.mktempfile()
    assert first != second
    assert Path(first).exists()
    assert Path(second).exists()
    assert (Path(first).name[:2], Path(first).suffix) == ("a_", ".tif")
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith("rios_")
    assert Path(first).parent == Path(second).parent == folder

    del manager
    assert list(tmp_path.iterdir()) == []


def test_temporary_files_can_be_removed_before(tmp_path: Path) -> None:
    manager = structures.TempfileManager(tmp_path)
    Path(manager.mktempfile()).unlink()
    manager.mktempfile()

    manager.cleanup()
    manager.cleanup()

    assert list(tmp_path.iterdir()) == []
