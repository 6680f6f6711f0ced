"""The layers, as data: who may import whom, and who may import GDAL and AWS."""

from __future__ import annotations

import ast
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# From the top down; a module may import its own layer and those below it. Every module is in exactly one.
LAYERS: list[tuple[str, list[str]]] = [
    ("wiring", ["rios_batch.__main__", "rios_batch.cli", "rios_batch.scriptjob", "rios_batch.worker"]),
    (
        "applier",
        [
            "rios_batch.applier",
            "rios_batch.concurrency",
            "rios_batch.controls",
            "rios_batch.cuiprogress",
            "rios_batch.plan.inputs",
            "rios_batch.pixelgrid",
            "rios_batch.batch",
            "rios_batch.plan.prepare",
            "rios_batch.result",
            "rios_batch.plan.workinggrid",
        ],
    ),
    ("jobmanagers", ["rios_batch.jobmanagers", "rios_batch.jobmanagers.*"]),
    ("tile", ["rios_batch.compute.tile"]),
    ("raster", ["rios_batch.raster", "rios_batch.raster.*"]),
    ("aws", ["rios_batch.aws", "rios_batch.aws.*"]),
    (
        "pure",
        [
            "rios_batch.associations",
            "rios_batch.model.statistics",
            "rios_batch.model.colourtables",
            "rios_batch.model.creationoptions",
            "rios_batch.model.histogram",
            "rios_batch.model.geotiff",
            "rios_batch.model.grid",
            "rios_batch.model.spec",
            "rios_batch.awsbatch.jsonvalues",
            "rios_batch.compute.otherargs",
            "rios_batch.model.tiles",
            "rios_batch.model.protocols",
            "rios_batch.model.pyramid",
            "rios_batch.readerinfo",
            "rios_batch.awsbatch.records",
            "rios_batch.model.s3names",
            "rios_batch.model.statitems",
            "rios_batch.awsbatch.messages",
            "rios_batch.awsbatch.configuration",
        ],
    ),
    ("names", ["rios_batch", "rios_batch.contract", "rios_batch.errors", "rios_batch.rioserrors"]),
]

# Heavy or stateful modules, and the only ones that may import them.
RESERVED = {
    "osgeo": ["rios_batch.raster.*"],
    "boto3": ["rios_batch.aws.*"],
    "botocore": ["rios_batch.aws.*"],
    "tqdm": ["rios_batch.cuiprogress"],
    "cloudpickle": ["rios_batch.jobmanagers.*", "rios_batch.compute.otherargs"],
    "time": [
        "rios_batch.applier",
        "rios_batch.compute.tile",
        "rios_batch.worker",
        "rios_batch.jobmanagers.*",
        "rios_batch.aws.*",
    ],
    "aws_cdk": [],
    "cdk_app": [],
}


def modules() -> dict[str, Path]:
    paths = (ROOT / "rios_batch").rglob("*.py")
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in paths
    }


def imports_of(path: Path, known: dict[str, Path]) -> set[str]:
    """Return what a file imports, wherever in the file, type checking only imports included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the layer"
            assert node.module is not None
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & known.keys()
            found.update(submodules or {node.module})
    return found


def layer_of(module: str) -> int:
    places = [i for i, (_, patterns) in enumerate(LAYERS) if any(fnmatch(module, p) for p in patterns)]
    assert len(places) == 1, f"{module} is in {len(places)} layers; name it in exactly one"
    return places[0]


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_point_down(module: str) -> None:
    known = modules()
    for imported in imports_of(known[module], known):
        if imported in known:
            assert layer_of(imported) >= layer_of(module), f"{module} imports {imported}, which is above it"


@pytest.mark.parametrize("module", sorted(modules()))
def test_heavy_imports_stay_where_they_belong(module: str) -> None:
    known = modules()
    for imported in imports_of(known[module], known):
        allowed = RESERVED.get(imported.partition(".")[0])
        assert allowed is None or any(fnmatch(module, p) for p in allowed), f"{module} imports {imported}"


def test_names_import_nothing_but_the_standard_library() -> None:
    known = modules()
    for module in ("rios_batch", "rios_batch.errors"):
        assert {name.partition(".")[0] for name in imports_of(known[module], known)} <= {"__future__"}


def test_a_rule_is_broken_where_it_is_broken(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("from rios_batch import applier\nfrom osgeo import gdal\n")

    found = imports_of(bad, modules())

    assert found == {"rios_batch.applier", "osgeo"}
    assert layer_of("rios_batch.applier") < layer_of("rios_batch.model.grid")


# All that the stack takes from the runtime: names and data, so that deploying needs neither GDAL nor boto3.
SHARED_WITH_THE_STACK = {"rios_batch", "rios_batch.contract", "rios_batch.aws.calls"}


@pytest.mark.parametrize("path", sorted((ROOT / "cdk_app").rglob("*.py")), ids=lambda path: path.stem)
def test_the_stack_takes_names_and_data_from_the_runtime_and_nothing_else(path: Path) -> None:
    imported = imports_of(path, modules())

    assert {name for name in imported if name.startswith("rios_batch")} <= SHARED_WITH_THE_STACK
    # The clean-up runs in Lambda, which has boto3; the app only reads that file's text.
    assert path.stem == "cleanup_handler" or not imported & {"boto3", "botocore"}


def test_what_the_stack_takes_needs_the_standard_library_only() -> None:
    known = modules()
    for module in SHARED_WITH_THE_STACK:
        outside = imports_of(known[module], known) - known.keys() - sys.stdlib_module_names
        assert {name for name in outside if name.partition(".")[0] not in sys.stdlib_module_names} == set()
