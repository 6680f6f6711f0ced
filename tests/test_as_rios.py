"""Scripts for RIOS run unchanged: `python -m rios_batch as-rios script.py`, and `import rios_batch.as_rios`."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import numpy as np
import pytest

import rios_batch
from tests.support import ROOT, make_raster, ramp, read_raster

if TYPE_CHECKING:
    from pathlib import Path

SCENE = ramp(2, 60, 70)

# A helper module beside the script, with an import of its own, and an import inside the function.
HELPER = """
from rios import applier, pixelgrid

def brighter(block):
    from rios import rioserrors
    assert issubclass(rioserrors.ParameterError, Exception)
    assert applier.UNION == pixelgrid.UNION
    return block + 1
"""

SCRIPT = """
import sys
import helper
import rios.applier
from rios import applier, cuiprogress, pixelgrid, rioserrors
from rios.parallel import jobmanager
from rios.parallel.aws import batch

def main():
    infiles = applier.FilenameAssociations()
    outfiles = applier.FilenameAssociations()
    otherargs = applier.OtherInputs()
    infiles.image, outfiles.result = sys.argv[3:]
    otherargs.offset = 5
    controls = rios.applier.ApplierControls()
    controls.setWindowXsize(32)
    controls.setWindowYsize(16)
    controls.setTileSize(32, 32)
    controls.setProgress(cuiprogress.SilentProgress())
    controls.setJobManagerType(sys.argv[1])
    controls.setNumThreads(int(sys.argv[2]))
    assert sys.argv[1] in jobmanager.getAvailableJobManagerTypes()
    applier.apply(userFunction, infiles, outfiles, otherargs, controls=controls)
    print(rios.__version__, sys.path[0], __file__)

def userFunction(info, inputs, outputs, otherargs):
    import rios
    from rios.pixelgrid import PixelGridDefn
    assert isinstance(info.workingGrid, PixelGridDefn), rios.RIOS_VERSION
    outputs.result = helper.brighter(inputs.image) + otherargs.offset

if __name__ == '__main__':
    main()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    make_raster(work / "scene.tif", SCENE)
    return work


def write(folder: Path, **modules: str) -> None:
    for name, text in modules.items():
        path = folder / f"{name.replace('-', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


def python(
    *arguments: str | Path, folder: Path, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder; modules are found in ``path`` too."""
    entries = [str(path)] if path else []
    entries += [os.environ.get("PYTHONPATH", str(ROOT))]
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(entries)},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


def run_as_rios(
    folder: Path, *arguments: str | Path, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return python("-m", "rios_batch", "as-rios", *arguments, folder=folder, path=path)


def check_script(folder: Path, manager: str, workers: int) -> None:
    scripts = folder / "scripts"
    write(scripts, helper=HELPER, script=SCRIPT)

    done = run_as_rios(folder, "scripts/script.py", manager, str(workers), "scene.tif", "out.tif")

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [rios_batch.RIOS_VERSION, str(scripts), "scripts/script.py"]
    np.testing.assert_array_equal(read_raster(folder / "out.tif"), SCENE + 6)


@pytest.mark.parametrize(("manager", "workers"), [("in-process", 1), ("threads", 2), ("multiprocessing", 2)])
def test_a_script_runs_unchanged_workers_included(folder: Path, manager: str, workers: int) -> None:
    check_script(folder, manager, workers)


@pytest.mark.usefixtures("quick_cloud")
def test_a_script_runs_unchanged_on_aws_batch(folder: Path) -> None:
    check_script(folder, "AWSBatch", 2)


# -- beside an installed RIOS

INSTALLED = {
    "rios-__init__": "RIOS_VERSION = '1.4.17'\n__version__ = RIOS_VERSION\nclass VersionObj: pass",
    "rios-applier": "raise AssertionError('RIOS itself was imported')",
    "rios-rioserrors": "raise AssertionError('RIOS itself was imported')",
    "rios-imageio": "UNION = 1",
    "rios-rat": """
        from . import VersionObj, imageio, rioserrors
        from .applier import ApplierControls

        def offset():
            assert rioserrors.__name__ == ApplierControls.__module__.replace('controls', 'rioserrors')
            return 10 * imageio.UNION
        """,
}

WITH_HELPERS = """
import rios_batch.as_rios
import sys
import rios
from rios import applier, rat
from rios.imageio import UNION

infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
infiles.image, outfiles.result = "scene.tif", "out.tif"
controls = applier.ApplierControls()
controls.setFootprintType(UNION)
controls.setNumThreads(2)

def userFunction(info, inputs, outputs):
    from rios.rat import offset
    outputs.result = inputs.image + rat.offset() + offset()

applier.apply(userFunction, infiles, outfiles, controls=controls)
print(rios.__version__, rios.VersionObj.__name__, applier.__name__)
"""


def test_an_installed_rios_lends_its_helper_modules_to_script_and_workers(
    folder: Path, tmp_path: Path
) -> None:
    write(tmp_path / "installed", **INSTALLED)
    write(folder, script=WITH_HELPERS)

    done = python("script.py", folder=folder, path=tmp_path / "installed")

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [rios_batch.RIOS_VERSION, "VersionObj", "rios_batch.applier"]
    np.testing.assert_array_equal(read_raster(folder / "out.tif"), SCENE + 20)


def test_modules_of_rios_itself_that_were_imported_before_are_refused(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "installed", **{**INSTALLED, "rios-applier": ""})
    write(folder, script="from rios import applier\nimport rios_batch.as_rios")

    done = python("script.py", folder=folder, path=tmp_path / "installed")

    assert done.returncode == 1
    assert "rios.applier was imported before rios_batch.as_rios" in done.stderr
    assert "the script's first line" in done.stderr


# -- what goes wrong


def test_without_rios_a_helper_module_is_missing_and_the_sentence_says_why(folder: Path) -> None:
    write(
        folder,
        script="""
        for line in ("from rios import rat", "import rios.rat", "from rios.rat import getColorTable"):
            try:
                exec(line)
            except ImportError as error:
                print(error)
        """,
    )

    done = run_as_rios(folder, "script.py")

    sentence = (
        "rios_batch stands in for RIOS here, and has no rios.rat; install RIOS to have its helper modules too"
    )
    assert done.stdout.splitlines() == 3 * [sentence]


def test_a_fresh_process_has_rioss_names_before_it_loads_the_function(folder: Path) -> None:
    write(
        folder,
        dump="""
        import rios_batch.as_rios
        from pathlib import Path
        from rios_batch.jobmanagers.sourcelines import dumps

        def function():
            import rios.applier
            return rios.applier.__name__

        Path("pickle").write_bytes(dumps(function))
        """,
        load="""
        import pickle
        from pathlib import Path

        print(pickle.loads(Path("pickle").read_bytes())())
        """,
    )

    assert python("dump.py", folder=folder).stderr == ""
    assert python("load.py", folder=folder).stdout == "rios_batch.applier\n"


def test_an_error_of_the_script_has_its_traceback_and_an_exit_is_one(folder: Path) -> None:
    write(
        folder,
        script="""
        import sys
        from rios import applier
        if len(sys.argv) > 1:
            sys.exit(7)
        applier.ApplierControls().setOverlap(-1)
        """,
    )

    failed, left = run_as_rios(folder, "script.py"), run_as_rios(folder, "script.py", "--now")

    assert failed.returncode == 1
    assert "applier.ApplierControls().setOverlap(-1)" in failed.stderr
    assert failed.stderr.splitlines()[-1].startswith("rios_batch.errors.ParameterError: the overlap must be")
    assert (left.returncode, left.stderr) == (7, "")


def test_a_script_that_does_not_exist_is_named(folder: Path) -> None:
    done = run_as_rios(folder, "absent.py")

    assert (done.returncode, done.stderr) == (1, "rios-batch: absent.py is not a file\n")
