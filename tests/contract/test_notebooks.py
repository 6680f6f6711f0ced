"""In a notebook: the tutorials run, an exception is short, the interrupt button works, and the kernel goes on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.support import ROOT, files_below, make_raster, ramp, read_raster

nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
pytest.importorskip("ipykernel", reason="ipykernel is not installed")

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.allow_hosts(["127.0.0.1"]),
    pytest.mark.slow,
    # asyncio's and zmq's own, in the process of the test
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]  # fmt: skip

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))
PIXELS = ramp(1, 600, 500)

FIRST_CELL = """
import sys, time
from pathlib import Path
if {without_widgets}:
    sys.modules["ipywidgets"] = None
from rios_batch import applier, cuiprogress

FACTOR = 3
def threefold(info, inputs, outputs):
    outputs.out = inputs.image * FACTOR
def fails(info, inputs, outputs):
    outputs.out = inputs.image[:, 1 // 0]
def hangs(info, inputs, outputs):
    Path("begun").touch()
    time.sleep(300)
def run(function, out="out.tif", manager="multiprocessing"):
    controls = applier.ApplierControls()
    controls.setStatsIgnore(0)
    controls.setNumThreads(2)
    controls.setJobManagerType(manager)
    controls.setCoordinateOnly(manager == "AWSBatch")
    controls.setProgress(cuiprogress.CUIProgressBar())
    files = applier.FilenameAssociations
    return applier.apply(function, files(image="image.tif"), files(out=out), controls=controls)
"""


class Kernel:
    """A kernel whose working directory is a folder with an image."""

    def __init__(self, manager: Any, client: Any, folder: Path) -> None:
        self.manager, self.client, self.folder = manager, client, folder

    def run(self, code: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return the reply to a cell, and what the cell has shown."""
        shown: list[dict[str, Any]] = []
        reply = self.client.execute_interactive(code, timeout=120, output_hook=shown.append)
        return reply["content"], shown


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    from jupyter_client.manager import start_new_kernel  # noqa: PLC0415 - takes a while

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / ".ipython"))
    folder = tmp_path / "work"
    folder.mkdir()
    make_raster(folder / "image.tif", PIXELS)
    with (tmp_path / "messages").open("w") as messages:
        manager, client = start_new_kernel(cwd=str(folder), stderr=messages)
        yield Kernel(manager, client, folder)
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def kinds(shown: list[dict[str, Any]]) -> set[str]:
    return {message["msg_type"] for message in shown} - {"status", "execute_input"}


def test_functions_of_cells_run_fail_in_few_lines_and_are_interrupted(kernel: Kernel) -> None:
    kernel.run(FIRST_CELL.format(without_widgets=False))

    reply, shown = kernel.run("run(threefold)")
    assert reply["status"] == "ok", reply
    data = [message["content"]["data"] for message in shown if "data" in message["content"]]
    assert any("application/vnd.jupyter.widget-view+json" in one for one in data)
    assert '<img src="data:image/png;base64,' in next(one for one in data if "text/html" in one)["text/html"]
    whole = (kernel.folder / "out.tif").read_bytes()

    reply, _ = kernel.run("run(fails)")
    lines = "\n".join(reply["traceback"]).splitlines()
    assert (reply["status"], reply["ename"]) == ("error", "UserFunctionError")
    assert lines[-1] == "input files: image.tif"
    assert lines[-3].endswith("fails raised ZeroDivisionError: integer division or modulo by zero")
    assert sum("outputs.out = inputs.image[:, 1 // 0]" in line for line in lines) == 1
    assert any("run(fails)" in line for line in lines)
    assert not any("/rios_batch/" in line for line in lines)
    assert len(lines) < 20

    waited_for = kernel.client.execute("run(hangs)")
    while not (kernel.folder / "begun").exists():
        time.sleep(0.05)
    kernel.manager.interrupt_kernel()
    while (reply := kernel.client.get_shell_msg(timeout=60))["parent_header"]["msg_id"] != waited_for:
        pass
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    lines = "\n".join(reply["content"]["traceback"]).splitlines()
    assert any("run(hangs)" in line for line in lines)
    assert lines[-1] == "KeyboardInterrupt"
    assert len(lines) < 20
    assert files_below(kernel.folder) == ["begun", "image.tif", "out.tif"]
    assert (kernel.folder / "out.tif").read_bytes() == whole

    assert kernel.run("run(threefold)")[0]["status"] == "ok"
    assert (kernel.folder / "out.tif").read_bytes() == whole


@pytest.mark.usefixtures("cloud")
def test_a_cell_runs_on_an_emulated_aws_batch_with_a_bar_and_gives_the_same_pixels(kernel: Kernel) -> None:
    kernel.run(FIRST_CELL.format(without_widgets=False))
    kernel.run("run(threefold, 'here.tif', 'in-process')")

    reply, shown = kernel.run("result = run(threefold, 'there.tif', 'AWSBatch'); result")

    assert reply["status"] == "ok", reply
    data = [message["content"]["data"] for message in shown if "data" in message["content"]]
    assert any("application/vnd.jupyter.widget-view+json" in one for one in data)
    assert '<img src="data:image/png;base64,' in next(one for one in data if "text/html" in one)["text/html"]
    _, shown = kernel.run("print(result.jobManagerType, all('job' in tile.worker for tile in result.tiles))")
    (said,) = [message["content"]["text"] for message in shown if message["msg_type"] == "stream"]
    assert said == "AWSBatch True\n"
    np.testing.assert_array_equal(read_raster(kernel.folder / "there.tif"), PIXELS * 3)
    assert (kernel.folder / "there.tif").read_bytes() == (kernel.folder / "here.tif").read_bytes()

    reply, _ = kernel.run("run(fails, 'there.tif', 'AWSBatch')")
    lines = "\n".join(reply["traceback"]).splitlines()
    assert reply["ename"] == "UserFunctionError"
    assert sum("outputs.out = inputs.image[:, 1 // 0]" in line for line in lines) == 1
    assert any("run(fails, 'there.tif', 'AWSBatch')" in line for line in lines)
    assert files_below(kernel.folder) == ["here.tif", "image.tif", "there.tif"]


def test_without_ipywidgets_there_is_a_bar_of_text_and_no_warning(kernel: Kernel) -> None:
    _, first = kernel.run(FIRST_CELL.format(without_widgets=True))
    reply, shown = kernel.run("run(threefold)")

    assert (kinds(first), reply["status"]) == (set(), "ok")
    assert kinds(shown) == {"stream", "execute_result"}
    text = "".join(message["content"].get("text", "") for message in shown)
    assert "100%" in text
    assert "ipywidgets" not in text


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs_and_is_kept_without_outputs(
    tutorial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat  # noqa: PLC0415

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / ".ipython"))
    folder = tmp_path / "work"
    folder.mkdir()
    notebook = nbformat.read(tutorial, as_version=4)  # type: ignore[no-untyped-call]
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert {str(cell.outputs) for cell in cells} == {"[]"}

    client = nbclient.NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(folder)}})
    client.execute()

    outputs = [output for cell in cells for output in cell.outputs]
    said = [output.text for output in outputs if output.output_type == "stream"]
    assert not any("Warning" in text for text in said), said
    failed = [cell for cell in cells if any(output.output_type == "error" for output in cell.outputs)]
    assert failed == [cell for cell in cells if "raises-exception" in cell.metadata.get("tags", [])]
    assert any("<img src=" in output.get("data", {}).get("text/html", "") for output in outputs)
    assert files_below(folder)
