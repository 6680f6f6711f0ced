# ruff: noqa: ARG001 - user functions and merge rules have the arguments they are called with
from __future__ import annotations

import functools
import inspect
import linecache
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, Any

import cloudpickle
import numpy as np
import pytest

from rios_batch.associations import OtherInputs
from rios_batch.errors import ParameterError, PicklingFailedError
from rios_batch.jobmanagers.pickling import dump_other_args, dump_spec
from rios_batch.model.grid import PixelGridDefn
from rios_batch.model.spec import RunSpec
from rios_batch.model.tiles import BlockGrid
from rios_batch.plan.tiling import plan_tiles
from tests.support import make_raster, ramp, read_raster, run_script

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


WITH_FUNCTOOLS = """
    import functools, os, sys
    sys.path.insert(0, "beside")
    import wrapped

    @functools.lru_cache(maxsize=5)
    def fibonacci(n):
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    @functools.singledispatch
    def doubled(value):
        return "other"

    @doubled.register
    def _(value: int):
        return 2 * value

    @doubled.register(list)
    def _(value):
        return [doubled(item) for item in value]

    class Scene:
        counts = 0
        @functools.cached_property
        def name(self):
            self.counts += 1
            return "scene"

    def user_function():
        scene = Scene()
        return fibonacci(20), fibonacci.cache_parameters()["maxsize"], doubled([1, "x"]), scene.name + scene.name, \
            scene.counts, wrapped.cached(4), fibonacci.__name__, wrapped.Kept().value

    from rios_batch.jobmanagers.pickling import dump_spec
    from tests.jobmanagers.test_pickling import job_of
    open("job.pkl", "wb").write(dump_spec(job_of(user_function)))
"""
WRAPPED = """
    import functools
    @functools.cache
    def cached(n):
        return n + OFFSET
    OFFSET = 1
    class Kept:
        @functools.cached_property
        def value(self):
            return cached(7)
"""


def test_cached_functions_functions_of_a_type_and_cached_properties_travel(tmp_path: Path) -> None:
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "wrapped.py").write_text(textwrap.dedent(WRAPPED))
    run(tmp_path, WITH_FUNCTOOLS)

    receiver = "import cloudpickle\nprint(cloudpickle.loads(open('job.pkl', 'rb').read()).function())"
    assert run(tmp_path, receiver) == "(6765, 5, [2, 'other'], 'scenescene', 1, 5, 'fibonacci', 8)\n"


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


FAILING = """
import linecache
import sys
sys.path.insert(0, "beside")
import failing_helpers

PASSWORD = "not for other machines"

def of_the_script(x):
    raise LookupError("in the script")

def outer():
    def inside(x):
        if x:
            raise LookupError("nested")
    return inside

CELL = "def of_a_cell(x):\\n    raise LookupError('in a cell')\\n"
linecache.cache["<ipython-input-1>"] = (len(CELL), None, CELL.splitlines(keepends=True), "<ipython-input-1>")
exec(compile(CELL, "<ipython-input-1>", "exec"))

FUNCTIONS = {
    "script": of_the_script,
    "helper": failing_helpers.of_a_helper,
    "called": lambda x: failing_helpers.of_a_helper(x),
    "nested": outer(),
    "lambda": lambda x: {}["no such key"] if x else 0,
    "cell": of_a_cell,
}

from rios_batch.jobmanagers.pickling import dump_spec
from tests.jobmanagers.test_pickling import job_of
open("job.pkl", "wb").write(dump_spec(job_of(FUNCTIONS[sys.argv[1]])))
"""
FAILING_HELPERS = """# The helper's first line

def of_a_helper(x):
    raise LookupError(
        "in the helper"
    )
"""
TRACEBACK = """
import pathlib, traceback
import cloudpickle
pickled = pathlib.Path("job.pkl").read_bytes()
assert b"not for other machines" not in pickled
job = cloudpickle.loads(pickled)
try:
    job.function(1)
except LookupError:
    traceback.print_exc()
print(len(pickled))
"""


@pytest.mark.parametrize(
    ("kind", "file", "name", "line"),
    [
        ("script", "script.py", "of_the_script", 'raise LookupError("in the script")'),
        ("helper", "failing_helpers.py", "of_a_helper", "raise LookupError("),
        ("called", "failing_helpers.py", "of_a_helper", "raise LookupError("),
        ("nested", "script.py", "inside", 'raise LookupError("nested")'),
        ("lambda", "script.py", "<lambda>", '"lambda": lambda x: {}["no such key"] if x else 0,'),
        ("cell", "<ipython-input-1>", "of_a_cell", "raise LookupError('in a cell')"),
    ],
)
@pytest.mark.parametrize("place", ["the same machine", "a machine without the files"])
def test_a_traceback_has_file_line_number_and_source_line(
    tmp_path: Path, kind: str, file: str, name: str, line: str, place: str
) -> None:
    (tmp_path / "beside").mkdir()
    helpers = tmp_path / "beside" / "failing_helpers.py"
    helpers.write_text(FAILING_HELPERS)
    dumped = run_script(tmp_path, FAILING, kind)
    assert dumped.returncode == 0, dumped.stderr
    source = {
        "script.py": FAILING,
        "failing_helpers.py": FAILING_HELPERS,
        "<ipython-input-1>": "\nraise LookupError('in a cell')",
    }[file]
    number = next(n for n, text in enumerate(source.splitlines(), start=1) if line in text)
    if place != "the same machine":
        helpers.unlink()
        (tmp_path / "script.py").unlink()
    (tmp_path / "receiver.py").write_text(TRACEBACK)

    done = subprocess.run(
        [sys.executable, "receiver.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    [*_, at, shown] = [
        text for text in done.stderr.splitlines() if text.startswith("  ") and set(text) - set(" ^~")
    ]
    assert at.endswith(f'{file}", line {number}, in {name}'), done.stderr
    assert shown.strip() == line
    assert int(done.stdout) < 4000


def test_only_lines_of_functions_that_travel_come_along(tmp_path: Path) -> None:
    padding = "".join(f"def unused_{n}(x):\n    return {n}\n" for n in range(10_000))
    source = f"{padding}def used(x):\n    return x\n"
    path = tmp_path / "long_script.py"
    path.write_text(source)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, str(path), "exec"), namespace)

    assert len(dump_spec(job_of(namespace["used"]))) < 2000


def test_loading_where_the_source_is_known_leaves_it_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "known.py"
    path.write_text("# first line\n\n\ndef used(x):\n    return x\n")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(path.read_text(), str(path), "exec"), namespace)

    function = cloudpickle.loads(dump_spec(job_of(namespace["used"]))).function

    assert linecache.getlines(str(path)) == path.read_text().splitlines(keepends=True)
    assert inspect.getsource(function) == "def used(x):\n    return x\n"


def test_code_without_a_source_travels_without_lines() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile("def used(x):\n    return x\n", "<nowhere>", "exec"), namespace)

    function = cloudpickle.loads(dump_spec(job_of(namespace["used"]))).function

    assert function(3) == 3
    assert function.__code__.co_filename == "<nowhere>"
    assert linecache.getlines("<nowhere>") == []


OPEN_HANDLES = """
    import multiprocessing.pool
    import threading
    from osgeo import gdal
    gdal.UseExceptions()
    SCENE = gdal.Open("scene.tif")
    LOCK = threading.Lock()
    POOL = multiprocessing.pool.ThreadPool(1)
    def of_scene(info, inputs, outputs):
        x, y = info.getBlockCount()
        band = SCENE.GetRasterBand(1)
        outputs.result = band.ReadAsArray(4 * x, 4 * y, *inputs.image.shape[:0:-1])[None]
    class Deep:
        def __call__(self, info, inputs, outputs):
            outputs.result = POOL.map(lambda a: a + 0, [inputs.image])[0]
"""
WRITTEN = """
    LOG = open("log", "w")
    def to_log(info, inputs, outputs):
        LOG.write("a block")
"""
USES_HANDLES = """
    import functools, sys
    sys.path.insert(0, "beside")
    import handles
    from rios_batch import applier
    from rios_batch.errors import PicklingFailedError

    def by_module(info, inputs, outputs):
        handles.of_scene(info, inputs, outputs)

    def imported_there(info, inputs, outputs):
        from handles import of_scene
        of_scene(info, inputs, outputs)

    if sys.argv[1] == "written":
        import logged
        function = logged.to_log
    else:
        function = {
            "nested": handles.Deep(),
            "partial": functools.partial(handles.of_scene),
            "imported there": imported_there,
        }.get(sys.argv[1], by_module)
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.result = "scene.tif", "out.tif"
    controls = applier.ApplierControls()
    controls.setWindowSize(4, 4)
    controls.setNumThreads(3)
    controls.setJobManagerType("multiprocessing")
    try:
        applier.apply(function, infiles, outfiles, controls=controls)
    except PicklingFailedError as error:
        print(error)
    handles.POOL.terminate()
"""


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    folder = tmp_path / "beside"
    folder.mkdir()
    (folder / "handles.py").write_text(textwrap.dedent(OPEN_HANDLES))
    (folder / "logged.py").write_text(textwrap.dedent(WRITTEN))
    make_raster(tmp_path / "scene.tif", PIXELS)
    return tmp_path


PIXELS = ramp(1, 40, 40)


@pytest.mark.parametrize(
    ("function", "culprit"), [("nested", "POOL"), ("partial", "SCENE"), ("by module", "SCENE")]
)
def test_a_helpers_open_dataset_or_thread_pool_is_refused_by_name(
    beside: Path, function: str, culprit: str
) -> None:
    done = run_script(beside, USES_HANDLES, function)

    assert f" (global '{culprit}' of module handles); open files" in done.stdout
    assert not (beside / "out.tif").exists()


def test_each_worker_has_what_the_function_imports_for_itself(beside: Path) -> None:
    done = run_script(beside, USES_HANDLES, "imported there")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    np.testing.assert_array_equal(read_raster(beside / "out.tif"), PIXELS)


def test_a_helpers_file_that_is_open_for_writing_is_refused_by_name(beside: Path) -> None:
    done = run_script(beside, USES_HANDLES, "written")

    assert " (global 'LOG' of module logged); open files" in done.stdout
    assert not (beside / "out.tif").exists()


def test_an_unpicklable_variable_argument_or_default_is_named() -> None:
    lock = threading.Lock()

    def around() -> threading.Lock:
        return lock

    def default(_lock: threading.Lock = lock) -> None:
        pass

    for function, culprit in [
        (around, r"variable 'lock' around .*around"),
        (default, "a default of .*default"),
        (functools.partial(print, lock), "an argument of a partial"),
    ]:
        with pytest.raises(PicklingFailedError, match=rf" \({culprit}\); open files"):
            dump_spec(job_of(function))
