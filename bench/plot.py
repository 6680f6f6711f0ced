"""Draw what field.py has measured: wall-clock time and memory of each peer, a panel for each part of the table.

python bench/plot.py MEASURED.json OUT.svg

Runs where rasterio is: matplotlib is there, too.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

OURS, OTHERS, LIMITS = "#1f6f8b", "#b8b8b8", "#e3e3e3"
BAR_INCHES, WIDTH_INCHES = 0.26, 9.0


def colour(row: dict[str, Any]) -> str:
    if row["name"].startswith("rios_batch"):
        return OURS
    return LIMITS if row["name"].startswith("limit") else OTHERS


def draw(rows: list[dict[str, Any]], title: str, out: Path) -> None:
    groups = list(dict.fromkeys(row["group"] for row in rows))
    heights = [sum(row["group"] == group for row in rows) + 1.5 for group in groups]
    figure, panels = plt.subplots(
        len(groups),
        2,
        figsize=(WIDTH_INCHES, BAR_INCHES * sum(heights) + 0.6),
        gridspec_kw={"height_ratios": heights},
        squeeze=False,
    )
    for (wall, memory), group in zip(panels, groups, strict=True):
        mine = [row for row in rows if row["group"] == group][::-1]
        for panel, figure_of, unit in ((wall, "wall_s", "s"), (memory, "pss_mb", "MB")):
            values = [statistics.median(row[figure_of]) for row in mine]
            bars = panel.barh([row["name"] for row in mine], values, color=[colour(row) for row in mine])
            panel.bar_label(
                bars, fmt=f"%.2f {unit}" if unit == "s" else f"%.0f {unit}", padding=3, fontsize=7
            )
            panel.set_xlim(0, 1.2 * max(values))
            panel.tick_params(labelsize=7, bottom=False, labelbottom=False, left=False)
            panel.spines[["top", "right", "bottom"]].set_visible(False)
        wall.set_title(f"{group}: wall-clock", fontsize=8, loc="left")
        memory.set_title("peak memory (PSS)", fontsize=8, loc="left")
        memory.set_yticks([])
    figure.suptitle(title, fontsize=9)
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None})


def main() -> None:
    measured = json.loads(Path(sys.argv[1]).read_text())
    machine = measured["machine"]
    mpl.rcParams["svg.hashsalt"] = "field"  # the same file for the same numbers
    title = (
        f"{machine['size_px']} x {machine['size_px']} px, {machine['cores']} cores, GDAL {machine['gdal']}, "
        f"{machine['date']}, medians of {machine['repetitions']}"
    )
    draw(measured["rows"], title, Path(sys.argv[2]))


if __name__ == "__main__":
    main()
