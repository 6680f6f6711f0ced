# ruff: noqa: ARG001 - user functions and merge rules have the arguments they are called with
from __future__ import annotations

import textwrap
import threading
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest

from rios_batch.associations import OtherInputs
from rios_batch.errors import ParameterError, PicklingFailedError
from rios_batch.jobmanagers.pickling import dump_other_args, dump_spec
from rios_batch.model.grid import PixelGridDefn
from rios_batch.model.spec import RunSpec
from rios_batch.model.tiles import BlockGrid, plan_tiles
from tests.support import run_script

if TYPE_CHECKING:
    from pathlib import Path

GRID = PixelGridDefn((0.0, 1.0, 0.0, 0.0, 0.0, -1.0), 4, 4)


def job_of(function: Any) -> RunSpec:
    return RunSpec(
        function=function,
        takes_other_args=False,
        inputs=(),
        outputs=(),
        grid=GRID,
        plan=plan_tiles(BlockGrid(4, 4, 2, 2)),
        overlap_px=0,
        input_cache_bytes=0,
    )


HELPERS = """
    FACTOR = 3
    class Scaler:
        def __init__(self, factor):
            self.factor = factor
        def __call__(self, x):
            return self.factor * deep_helpers.add_one(x)
    import deep_helpers
    def scale(x):
        return FACTOR * deep_helpers.add_one(x)
"""
DEEP_HELPERS = """
    def add_one(x):
        return x + 1
"""
SENDER = """
    import sys
    sys.path.insert(0, "beside")
    import helpers, numpy
    from rios_batch.jobmanagers.pickling import dump_spec, dump_other_args
    from tests.jobmanagers.test_pickling import job_of
    from rios_batch.associations import OtherInputs
    import cloudpickle

    def user_function(x):
        return helpers.scale(x) + numpy.int64(100)

    open("job.pkl", "wb").write(dump_spec(job_of(user_function)))
    open("other.pkl", "wb").write(dump_other_args(OtherInputs(scaler=helpers.Scaler(5))))
    # What was registered for one dump must not change how others pickle.
    print(cloudpickle.list_registry_pickle_by_value())
"""
RECEIVER = """
    import cloudpickle, importlib.util, sys
    assert importlib.util.find_spec("helpers") is None, "the test would prove nothing"
    job = cloudpickle.loads(open("job.pkl", "rb").read())
    other = cloudpickle.loads(open("other.pkl", "rb").read())
    print(job.function(1), other.scaler(1), "helpers" in sys.modules)
"""


def run(folder: Path, source: str) -> str:
    done = run_script(folder, source)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_helper_modules_of_a_script_travel_by_value_to_an_interpreter_that_lacks_them(tmp_path: Path) -> None:
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "helpers.py").write_text(textwrap.dedent(HELPERS))
    (tmp_path / "beside" / "deep_helpers.py").write_text(textwrap.dedent(DEEP_HELPERS))

    assert run(tmp_path, SENDER) == "set()\n"

    assert run(tmp_path, RECEIVER) == "106 10 False\n"


def test_functions_of_installed_packages_and_the_standard_library_travel_by_reference() -> None:
    import textwrap as standard  # noqa: PLC0415 - any module of each kind would do

    import hypothesis.strategies as installed  # noqa: PLC0415

    for function in (standard.dedent, installed.integers, plan_tiles):
        pickled = dump_spec(job_of(function))
        assert cloudpickle.loads(pickled).function is function
        assert len(pickled) < 2000


def test_a_job_comes_out_as_it_went_in() -> None:
    job = job_of(lambda x: x + 1)

    again = cloudpickle.loads(dump_spec(job))

    assert (again.grid, again.plan, again.overlap_px) == (job.grid, job.plan, job.overlap_px)
    assert again.function(1) == 2


def test_a_function_that_holds_something_unpicklable_is_named_with_the_cure() -> None:
    lock = threading.Lock()

    def careful(info: Any, inputs: Any, outputs: Any) -> None:
        with lock:
            pass

    with pytest.raises(
        PicklingFailedError, match=r"careful cannot be sent.*setJobManagerType\('threads'\)"
    ) as caught:
        dump_spec(job_of(careful))
    assert isinstance(caught.value.__cause__, TypeError)
    assert cloudpickle.list_registry_pickle_by_value() == set()


def test_an_unpicklable_attribute_of_other_args_is_named() -> None:
    other_args = OtherInputs(fine=1, lock=threading.Lock(), also=threading.Lock())

    with pytest.raises(PicklingFailedError, match=r"^otherArgs\.lock, otherArgs\.also cannot be copied"):
        dump_other_args(other_args)


def test_other_args_without_attributes_are_refused_before_anything_is_sent() -> None:
    with pytest.raises(ParameterError, match="otherArgs is a list"):
        dump_other_args([1])


def test_no_other_args_are_none_again() -> None:
    assert cloudpickle.loads(dump_other_args(None)) is None
