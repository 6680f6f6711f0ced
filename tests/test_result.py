from __future__ import annotations

import base64
import itertools
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rios_batch.associations import OtherInputs
from rios_batch.model.grid import PixelWindow
from rios_batch.model.tileresult import TileRecord
from rios_batch.pixelgrid import PixelGridDefn
from rios_batch.read.quicklook import quicklook_png
from rios_batch.result import ApplierReturn, Timers
from tests.support import make_raster, read_raster

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = {"walltime": (12.0,), "reading": (1.0, 2.0, 3.0, 4.0, 10.0), "writing": ()}
times = st.lists(st.floats(0, 1e6), min_size=1, max_size=30)


def test_the_summary_has_totals_and_quartiles_of_every_part_that_happened() -> None:
    summary = Timers(SECONDS).makeSummaryDict()

    assert summary["reading"] == {
        "tot": 20.0,
        "min": 1.0,
        "lower": 2.0,
        "median": 3.0,
        "upper": 4.0,
        "max": 10.0,
        "N": 5,
    }


@pytest.mark.parametrize(
    "name",
    [
        "walltime",
        "reading",
        "startcomputeworkers",
        "userfunction",
        "writing",
        "pyramids",
        "basicstats",
        "histogram",
        "beforeclose",
        "insert_readbuffer",
        "pop_readbuffer",
        "insert_computebuffer",
        "pop_computebuffer",
    ],
)
def test_every_name_of_rios_2_can_be_looked_up_and_says_whether_it_was_measured(name: str) -> None:
    timers = Timers(SECONDS | {"encoding": (1.5,)})
    measured = SECONDS.get(name, ())

    summary = timers.makeSummaryDict()

    assert summary[name].keys() == {"tot", "min", "lower", "median", "upper", "max", "N"}
    assert (summary[name]["tot"], summary[name]["N"]) == (sum(measured), len(measured))
    assert timers.getDurationsForName(name) == (list(measured) or None)
    assert summary["encoding"]["tot"] == 1.5


def test_a_single_value_is_its_own_spread() -> None:
    walltime = Timers(SECONDS).makeSummaryDict()["walltime"]

    assert walltime.pop("N") == 1
    assert set(walltime.values()) == {12.0}


@given(times)
def test_a_summary_is_in_order(values: list[float]) -> None:
    summary = Timers({"reading": tuple(values)}).makeSummaryDict()["reading"]

    spread = [summary[name] for name in ("min", "lower", "median", "upper", "max")]
    assert all(a <= b or a == pytest.approx(b) for a, b in itertools.pairwise(spread))
    assert (spread[0], spread[-1], summary["N"]) == (min(values), max(values), len(values))
    assert summary["tot"] == sum(values)


def test_the_report_has_totals_only_and_the_spread_from_level_one_on() -> None:
    timers = Timers(SECONDS)

    short, long = timers.formatReport().splitlines(), timers.formatReport(level=1).splitlines()

    assert [line.split() for line in short] == [
        ["seconds", "tot"],
        ["walltime", "12.000"],
        ["reading", "20.000"],
    ]
    assert long[0].split() == ["seconds", "tot", "min", "lower", "median", "upper", "max"]
    assert long[2].split() == ["reading", "20.000", "1.000", "2.000", "3.000", "4.000", "10.000"]
    assert len({len(line) for line in long}) == 1


def test_a_report_of_nothing_is_its_heading() -> None:
    assert Timers({}).formatReport().split() == ["seconds", "tot"]


# -- what a person sees


def a_result(folder: Path, ntiles: int = 64, outputs: tuple[str, ...] = ("ndvi.tif",)) -> ApplierReturn:
    record = TileRecord(0, PixelWindow(0, 0, 256, 256), "process 4711", 1, 0.1, 0.2, 0.3, 0.4, 5000)
    return ApplierReturn(
        timings=Timers({"walltime": (12.0,), "reading": (0.1,) * ntiles}),
        workinggrid=PixelGridDefn((0.0, 10.0, 0.0, 0.0, 0.0, -10.0), 300, 400),
        outputs=tuple(str(folder / name) for name in outputs),
        tiles=(record,) * ntiles,
        otherArgs=OtherInputs(hist=np.zeros(1000)),
        otherArgsList=[OtherInputs(hist=np.zeros(1000))] * ntiles,
        jobManagerType="threads",
    )


def test_a_result_is_shown_on_one_short_line(tmp_path: Path) -> None:
    shown = repr(a_result(tmp_path, outputs=tuple(f"out_{i}.tif" for i in range(100))))

    assert shown.startswith("ApplierReturn(")
    assert "400 columns x 300 rows" in shown
    assert "64 tiles by 'threads' in 12.0 s" in shown
    assert f"100 outputs: '{tmp_path / 'out_0.tif'}', ..." in shown
    assert len(shown) < 300 + len(str(tmp_path))


def test_a_result_without_outputs_says_so(tmp_path: Path) -> None:
    assert "64 tiles by 'threads' in 12.0 s, no outputs" in repr(a_result(tmp_path, outputs=()))


def test_timers_are_shown_as_totals() -> None:
    assert repr(Timers(SECONDS)) == "Timers(walltime 12.000 s, reading 20.000 s)"


def test_a_notebook_shows_the_timings_and_a_picture_of_the_first_output(tmp_path: Path) -> None:
    pixels = np.arange(300 * 400, dtype="float32").reshape(300, 400)
    pixels[:30] = -1
    make_raster(tmp_path / "ndvi.tif", pixels, nodata=-1)

    shown = a_result(tmp_path)._repr_html_()

    assert "<td>walltime</td><td>12.000</td>" in shown
    assert "<td>reading</td><td>6.400</td>" in shown
    encoded = re.search(r'src="data:image/png;base64,([^"]+)"', shown)
    assert encoded is not None
    (tmp_path / "look.png").write_bytes(base64.b64decode(encoded[1]))
    red, green, _, alpha = read_raster(tmp_path / "look.png")
    assert red.shape == (192, 256)
    assert (red == green).all()
    assert (alpha[:15] == 0).all()
    assert (alpha[25:] == 255).all()
    assert red[25, 0] < 40
    assert red[-1, -1] == 255


def test_a_picture_of_three_bands_is_in_colour_and_of_one_value_is_grey(tmp_path: Path) -> None:
    colours = np.stack([np.full((20, 30), value) for value in (1, 2, 3)]).astype("uint8")
    colours[0, :, 15:] = 9

    for name, pixels in {"ndvi.tif": colours, "flat.tif": np.full((1, 5, 5), np.nan, "float32")}.items():
        make_raster(tmp_path / name, pixels)
        (tmp_path / "look.png").write_bytes(quicklook_png(str(tmp_path / name), longest_side_px=30))
        look = read_raster(tmp_path / "look.png")
        assert look.shape == (4, *pixels.shape[1:])
        if name == "ndvi.tif":
            assert (look[0, 0, 0], look[0, 0, -1], look[3].min()) == (0, 255, 255)
        else:
            assert look[3].max() == 0


def test_a_notebook_says_why_there_is_no_picture_and_escapes_names(tmp_path: Path) -> None:
    shown = a_result(tmp_path, outputs=("<b>.tif",))._repr_html_()

    assert "<img" not in shown
    assert "&lt;b&gt;.tif" in shown
    assert "<b>.tif" not in shown
    assert "No such file or directory" in shown
