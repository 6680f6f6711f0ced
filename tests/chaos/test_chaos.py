"""A table of faults and job managers: each run ends with the same bits or one clear error, and leaves nothing.

``make chaos`` runs it and prints the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from rios_batch.errors import RiosBatchError, text_of
from rios_batch.testing.rasters import read_raster
from rios_batch.testing.running import SCENE, SceneRun
from tests.chaos.faults import FAULTS, LOCAL, Bench, Fault

if TYPE_CHECKING:
    from pathlib import Path

    from rios_batch.testing.emulation.cloud import Emulator

pytestmark = pytest.mark.chaos

EXPECTED = SCENE.astype(np.uint16) * 2
CELLS = [(fault, manager) for fault in FAULTS for manager in LOCAL if manager in fault.ends]
ON_AWS = [(fault, "AWSBatch") for fault in FAULTS if "AWSBatch" in fault.ends]


def names(cells: list[tuple[Fault, str]]) -> list[str]:
    return [f"{type(fault).__name__}-{manager}" for fault, manager in cells]


@pytest.mark.parametrize(("fault", "manager"), CELLS, ids=names(CELLS))
def test_a_run_ends_well(fault: Fault, manager: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_with(fault, manager, tmp_path, monkeypatch, None)


@pytest.mark.parametrize(("fault", "manager"), ON_AWS, ids=names(ON_AWS))
def test_a_run_on_aws_ends_well(
    fault: Fault, manager: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_cloud: Emulator
) -> None:
    run_with(fault, manager, tmp_path, monkeypatch, quick_cloud)


def run_with(
    fault: Fault, manager: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cloud: Emulator | None
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.setenv("CHAOS_FOLDER", str(tmp_path))
    run = SceneRun(folder, manager, 1 if manager == "in-process" else 2, "")
    end = fault.ends[manager]

    with fault.around(Bench(folder, manager, monkeypatch, cloud)):
        if end is None:
            run(fault.function, **fault.settings)
        else:
            with pytest.raises(end) as caught:
                run(fault.function, **fault.settings)
            assert isinstance(caught.value, RiosBatchError)
            assert len(text_of(caught.value)) > 20
    if end is None:
        np.testing.assert_array_equal(read_raster(run.target), EXPECTED)
        run.target.unlink()
        run.target.with_name("out.tif.aux.xml").unlink(missing_ok=True)
    run.assert_nothing_left()
