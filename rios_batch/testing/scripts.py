"""Scripts as people write them: without a main guard, with modules beside them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch.testing.rasters import make_raster, read_raster
from rios_batch.testing.running import SCENE, ManagerTestBase, SceneRun

if TYPE_CHECKING:
    from pathlib import Path


class ScriptTests(ManagerTestBase):
    """A script runs with every job manager as with none."""

    def test_a_script_without_a_main_guard_and_with_a_helper_module_runs(self, run: SceneRun) -> None:
        (run.folder / "my_helpers.py").write_text("def triple(a):\n    return a.astype('u2') * 3\n")

        stdout, stderr = run.run_script("""
            import sys
            from rios_batch import applier, cuiprogress
            from my_helpers import triple

            def work(info, inputs, outputs):
                outputs.result = triple(inputs.image)

            infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
            infiles.image, outfiles.result = "scene.tif", "out.tif"
            controls = applier.ApplierControls()
            controls.setProgress(cuiprogress.GDALProgressBar())
            controls.setNumThreads(int(sys.argv[2]))
            controls.setJobManagerType(sys.argv[1])
            applier.apply(work, infiles, outfiles, controls=controls)
        """)

        assert stdout == "0...10...20...30...40...50...60...70...80...90...100 - done.\n"
        # A job manager may say how its runs go.
        assert [line for line in stderr.splitlines() if not line.startswith("run ")] == []
        np.testing.assert_array_equal(read_raster(run.target), SCENE.astype(np.uint16) * 3)

    def test_a_helper_module_that_cannot_travel_by_value_is_found_by_name(self, run: SceneRun) -> None:
        self._skip_unless_workers_have_the_scripts_surroundings()
        (run.folder / "my_locked_helper.py").write_text(
            "import threading\nLOCK = threading.Lock()\ndef triple(a):\n    return a.astype('u2') * 3\n"
        )

        run.run_script("""
            import sys
            from rios_batch import applier
            import my_locked_helper

            def work(info, inputs, outputs):
                outputs.result = my_locked_helper.triple(inputs.image)

            infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
            infiles.image, outfiles.result = "scene.tif", "out.tif"
            controls = applier.ApplierControls()
            controls.setNumThreads(int(sys.argv[2]))
            controls.setJobManagerType(sys.argv[1])
            applier.apply(work, infiles, outfiles, controls=controls)
        """)

        np.testing.assert_array_equal(read_raster(run.target), SCENE.astype(np.uint16) * 3)

    def test_what_the_function_prints_arrives_in_a_file_too(self, run: SceneRun) -> None:
        self._skip_unless_workers_have_the_scripts_surroundings()
        with (run.folder / "printed").open("w") as printed:
            run.run_script(
                """
                import sys
                from rios_batch import applier

                def chatty(info, inputs, outputs):
                    print("block", info.getBlockCount())
                    outputs.result = inputs.image

                infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
                infiles.image, outfiles.result = "scene.tif", "out.tif"
                controls = applier.ApplierControls()
                controls.setWindowSize(32, 32)
                controls.setNumThreads(int(sys.argv[2]))
                controls.setJobManagerType(sys.argv[1])
                applier.apply(chatty, infiles, outfiles, controls=controls)
                """,
                stdout=printed,
            )

        lines = (run.folder / "printed").read_text().splitlines()
        assert sorted(lines) == sorted(f"block {(x, y)}" for x in range(3) for y in range(3))

    def test_gdal_threads_used_before_the_run_do_not_hang_the_workers(self, run: SceneRun) -> None:
        pixels = np.tile(SCENE, (1, 8, 8))  # several TIFF blocks, or no thread starts
        make_raster(run.scene, pixels)

        run.run_script("""
            import sys
            from osgeo import gdal
            from rios_batch import applier

            # A pool that a worker must not have without its threads.
            gdal.SetConfigOption("GDAL_NUM_THREADS", "2")
            gdal.Translate("threaded.tif", "scene.tif", creationOptions=["TILED=YES", "COMPRESS=DEFLATE"])

            def copy(info, inputs, outputs):
                outputs.result = inputs.image

            infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
            infiles.image, outfiles.result = "threaded.tif", "out.tif"
            controls = applier.ApplierControls()
            controls.setCreationOptions(["TILED=YES", "COMPRESS=DEFLATE", "NUM_THREADS=2"])
            controls.setNumThreads(int(sys.argv[2]))
            controls.setJobManagerType(sys.argv[1])
            applier.apply(copy, infiles, outfiles, controls=controls)
        """)

        np.testing.assert_array_equal(read_raster(run.target), pixels)

    def test_a_function_may_change_the_working_directory(
        self, run: SceneRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def wander(info: Any, inputs: Any, outputs: Any) -> None:
            os.chdir(tmp_path)
            name = info.getFilenameFor(inputs.image)
            if name != "scene.tif":
                raise ValueError(name)
            outputs.result = inputs.image

        monkeypatch.chdir(run.folder)  # and back again afterwards

        run.apply(wander, {"image": "scene.tif"}, {"result": "out.tif"})

        np.testing.assert_array_equal(read_raster(run.target), SCENE)

    def _skip_unless_workers_have_the_scripts_surroundings(self) -> None:
        if not (self.same_machine and self.same_surroundings):
            pytest.skip(
                f"workers of {self.manager_type} have neither this machine's modules nor its terminal"
            )
