"""A tile's error ends the run as it is, and nothing half-done stays."""

from __future__ import annotations

import gc
import re
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch.errors import (
    ArrayShapeError,
    KeysMismatch,
    MismatchedListLengthsError,
    PicklingFailedError,
    TypeConversionError,
    UserFunctionError,
)
from rios_batch.testing.rasters import read_raster
from rios_batch.testing.running import SCENE, ManagerTestBase, SceneRun, as_in_a_script

if TYPE_CHECKING:
    from collections.abc import Callable

    from rios_batch.model.spec import Array


@as_in_a_script
def explode(info: Any, inputs: Any, outputs: Any) -> None:
    if info.getBlockCount() == (3, 1):
        raise LookupError("no such class")
    outputs.result = inputs.image


@as_in_a_script
class PickyError(Exception):
    """Cannot be made from its message alone, so it does not survive pickling."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@as_in_a_script
def picky(_info: Any, _inputs: Any, _outputs: Any) -> None:
    raise PickyError(3, "out of paint")


@as_in_a_script
def leave(_info: Any, _inputs: Any, _outputs: Any) -> None:
    sys.exit("that will do")


@as_in_a_script
def forgetful(_info: Any, _inputs: Any, outputs: Any) -> None:
    outputs.reslut = 1


@as_in_a_script
def short(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.result = [inputs.image]


class ErrorTests(ManagerTestBase):
    """Errors say where, and leave neither files nor workers."""

    def test_an_exception_in_the_function_says_where_and_leaves_nothing(self, run: SceneRun) -> None:
        with pytest.raises(UserFunctionError) as caught:
            run(explode)

        error, code = caught.value, explode.__code__
        assert "explode raised LookupError: no such class" in str(error)
        assert "block (3, 1), columns 48-63, rows 32-63, of tile 4" in str(error)
        assert str(run.scene) in str(error)
        assert error.exception_type == "builtins.LookupError"
        assert isinstance(error.__cause__, LookupError if self.same_machine else type(None))
        where = f'File "{code.co_filename}", line {code.co_firstlineno + 3}, in explode'
        assert f'{where}\n    raise LookupError("no such class")\n' in error.traceback_text
        run.assert_nothing_left()

    def test_a_failed_run_keeps_the_older_output(self, run: SceneRun) -> None:
        run.target.write_bytes(b"precious")

        with pytest.raises(UserFunctionError):
            run(explode)

        assert run.target.read_bytes() == b"precious"

    def test_failed_runs_keep_no_descriptors_open(self, run: SceneRun) -> None:
        def open_descriptors() -> int:
            return sum(1 for _ in Path("/proc/self/fd").iterdir())

        def fail() -> None:
            with pytest.raises(UserFunctionError):
                run(explode)

        fail()  # what is opened once, such as GDAL's own files
        before = open_descriptors()
        gc.disable()
        try:
            for _ in range(3):
                fail()
            assert open_descriptors() <= before
        finally:
            gc.enable()

    def test_an_exception_that_cannot_be_pickled_still_arrives(self, run: SceneRun) -> None:
        with pytest.raises(UserFunctionError, match="picky raised PickyError: out of paint"):
            run(picky)

    def test_sys_exit_in_the_function_ends_the_script(self, run: SceneRun) -> None:
        with pytest.raises(SystemExit, match="that will do"):
            run(leave)
        run.assert_nothing_left()

    @pytest.mark.parametrize(
        ("value", "error", "says"),
        [
            (lambda a: a[0], ArrayShapeError, r"has shape \(\d+, \d+\) .*must be \(bands, \d+, \d+\)"),
            (lambda a: a[:, 1:], ArrayShapeError, r"has shape \(2, (31|25), \d+\)"),
            (lambda a: a[:0], ArrayShapeError, r"has shape \(0, \d+, \d+\)"),
            (lambda _: 3, ArrayShapeError, "is a int"),
            (lambda a: a.astype(np.float16), TypeConversionError, "cannot write float16"),
            (lambda a: a.astype("U3"), TypeConversionError, "cannot write str"),
        ],
        ids=["two dimensions", "row missing", "no bands", "not an array", "float16", "text"],
    )
    def test_refuses_what_cannot_be_written(
        self, run: SceneRun, value: Callable[[Array], Any], error: type[Exception], says: str
    ) -> None:
        def wrong(_info: Any, inputs: Any, outputs: Any) -> None:
            outputs.result = value(inputs.image)

        with pytest.raises(error, match=says) as caught:
            run(wrong)
        where = r"outputs.result .*in block \(\d, \d\), columns \d+-\d+, rows \d+-\d+"
        assert re.match(where, str(caught.value))
        run.assert_nothing_left()

    @pytest.mark.parametrize("odd_block", [(1, 0), (4, 2)], ids=["in the first tile", "in another tile"])
    def test_refuses_a_block_of_another_type_or_band_count(
        self, run: SceneRun, odd_block: tuple[int, int]
    ) -> None:
        def odd_type(info: Any, inputs: Any, outputs: Any) -> None:
            odd = info.getBlockCount() == odd_block
            outputs.result = inputs.image.astype(np.float32 if odd else np.uint8)

        def odd_bands(info: Any, inputs: Any, outputs: Any) -> None:
            outputs.result = inputs.image[: 1 if info.getBlockCount() == odd_block else 2]

        with pytest.raises(TypeConversionError, match="has 2 bands of float32 at .* but 2 bands of uint8"):
            run(odd_type)
        with pytest.raises(ArrayShapeError, match="has 1 band of uint8 at .* but 2 bands of uint8"):
            run(odd_bands)
        run.assert_nothing_left()

    def test_refuses_missing_outputs_and_short_lists(self, run: SceneRun) -> None:
        with pytest.raises(KeysMismatch, match="did not set outputs.result in block .*; it set reslut"):
            run(forgetful)

        targets = [run.folder / "a.tif", run.folder / "b.tif"]
        with pytest.raises(MismatchedListLengthsError, match="a list of 2 arrays.* it is 1 arrays"):
            run.apply(short, {"image": run.scene}, {"result": targets})
        run.assert_nothing_left()

    def test_what_cannot_be_pickled_is_refused_by_name_or_works(self, run: SceneRun) -> None:
        lock = threading.Lock()

        def locked(_info: Any, inputs: Any, outputs: Any) -> None:
            with lock:
                outputs.result = inputs.image

        if self.pickles:
            with pytest.raises(PicklingFailedError, match="locked cannot be sent to another process: .*lock"):
                run(locked)
            run.assert_nothing_left()
        else:
            run(locked)
            np.testing.assert_array_equal(read_raster(run.target), SCENE)
