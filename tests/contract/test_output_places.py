"""Where an output may be: through links, with odd names; what cannot be an output is refused before any work."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch import applier
from rios_batch.errors import OutputError
from tests.support import files_below, make_raster, ramp, read_metadata, read_raster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PIXELS = ramp(1, 40, 50, "uint8")
TILED = ["TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16"]
WAYS = {"assembled": (".tif", TILED), "strips": (".tif", ["TILED=NO"]), "HFA": (".img", [])}
each_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    """Return a function that copies a raster to an output, and says whether the function was called."""
    scene = make_raster(tmp_path_factory.mktemp("scene") / "in.tif", PIXELS)

    def copy(target: Path, way: str = "assembled", calls: list[Any] | None = None) -> None:
        def function(info: Any, inputs: Any, outputs: Any) -> None:
            if calls is not None:
                calls.append(info.getBlockCount())
            outputs.out = inputs.image

        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        infiles.image, outfiles.out = scene, str(target)
        controls = applier.ApplierControls()
        controls.setWindowSize(16, 16)
        controls.setCreationOptions(WAYS[way][1])
        applier.apply(function, infiles, outfiles, controls=controls)

    return copy


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on another file system."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    folder = Path(tempfile.mkdtemp(dir=memory))
    yield folder
    shutil.rmtree(folder)


@each_way
@pytest.mark.parametrize("exists", [True, False], ids=["to a file", "to nothing yet"])
def test_a_link_to_another_file_system_stays_and_its_target_is_written(
    tmp_path: Path, elsewhere: Path, run: Callable[..., None], way: str, *, exists: bool
) -> None:
    real, link = elsewhere / f"real{WAYS[way][0]}", tmp_path / f"link{WAYS[way][0]}"
    if exists:
        real.write_text("old")
    link.symlink_to(real)

    run(link, way)

    assert link.is_symlink()
    np.testing.assert_array_equal(read_raster(real), PIXELS)
    assert files_below(tmp_path) == [link.name]
    assert not [name for name in files_below(elsewhere) if name.startswith(".") or "link" in name]


def test_side_files_of_a_linked_output_have_the_name_of_the_linked_file(tmp_path: Path) -> None:
    make_raster(tmp_path / "in.tif", PIXELS)
    (tmp_path / "there").mkdir()
    (tmp_path / "link.tif").symlink_to(tmp_path / "there" / "real.tif")
    (tmp_path / "link.tif.aux.xml").write_text("of an older output")
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.out = tmp_path / "in.tif", tmp_path / "link.tif"
    controls = applier.ApplierControls()
    controls.setWindowSize(16, 16)
    controls.setCreationOptions([*TILED, "PROFILE=BASELINE", "TFW=YES"])

    applier.apply(identity, infiles, outfiles, controls=controls)

    assert files_below(tmp_path / "there") == ["real.tfw", "real.tif", "real.tif.aux.xml"]
    assert not (tmp_path / "link.tif.aux.xml").exists()
    assert "STATISTICS_MEAN" in read_metadata(tmp_path / "there" / "real.tif")[0]


def identity(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.out = inputs.image


def assert_refused(run: Callable[..., None], target: Path, words: str) -> None:
    calls: list[Any] = []
    with pytest.raises(OutputError, match=words):
        run(target, calls=calls)
    assert calls == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc, which even root cannot write")
def test_a_link_into_a_folder_that_cannot_be_written_is_refused_at_the_start(
    tmp_path: Path, run: Callable[..., None]
) -> None:
    (tmp_path / "link.tif").symlink_to("/proc/out.tif")

    assert_refused(run, tmp_path / "link.tif", r"output '.*link\.tif' cannot be written: \w.* \('/proc'\)")

    assert files_below(tmp_path) == ["link.tif"]


def test_a_link_into_a_folder_that_does_not_exist_is_refused_at_the_start(
    tmp_path: Path, run: Callable[..., None]
) -> None:
    (tmp_path / "link.tif").symlink_to(tmp_path / "nowhere" / "out.tif")

    assert_refused(
        run, tmp_path / "link.tif", r"output '.*link\.tif' cannot be written: No such file.*nowhere"
    )


def test_a_link_to_itself_is_refused_at_the_start(tmp_path: Path, run: Callable[..., None]) -> None:
    (tmp_path / "a.tif").symlink_to(tmp_path / "b.tif")
    (tmp_path / "b.tif").symlink_to(tmp_path / "a.tif")

    assert_refused(run, tmp_path / "a.tif", r"output '.*a\.tif' is a symbolic link that leads to itself")

    assert files_below(tmp_path) == ["a.tif", "b.tif"]


def test_a_pipe_and_a_socket_are_refused_at_the_start(tmp_path: Path, run: Callable[..., None]) -> None:
    os.mkfifo(tmp_path / "pipe.tif")
    (tmp_path / "link.tif").symlink_to(tmp_path / "pipe.tif")
    with socket.socket(socket.AF_UNIX) as listener:
        short = Path(os.path.relpath(tmp_path / "socket.tif"))
        listener.bind(str(short) if len(str(short)) < 100 else str(tmp_path / "socket.tif"))
    before = files_below(tmp_path)

    for name in ("pipe.tif", "link.tif", "socket.tif"):
        assert_refused(run, tmp_path / name, rf"output '.*{name}' is a pipe, a device or a socket")

    assert (tmp_path / "pipe.tif").is_fifo()
    assert files_below(tmp_path) == before


@each_way
@pytest.mark.parametrize("length_bytes", [246, 247])
def test_a_name_that_leaves_room_for_side_files_is_written(
    tmp_path: Path, run: Callable[..., None], way: str, length_bytes: int
) -> None:
    suffix = WAYS[way][0]
    target = tmp_path / ("n" * (length_bytes - len(suffix)) + suffix)

    run(target, way)

    np.testing.assert_array_equal(read_raster(target), PIXELS)


@pytest.mark.parametrize("length_bytes", [248, 249, 251, 252, 255, 256, 300])
@pytest.mark.parametrize("character", ["n", "\u00e9"])
def test_a_longer_name_is_refused_at_the_start(
    tmp_path: Path, run: Callable[..., None], character: str, length_bytes: int
) -> None:
    whole, rest = divmod(length_bytes - len(".tif"), len(character.encode()))
    target = tmp_path / (character * whole + "m" * rest + ".tif")

    assert_refused(
        run, target, rf"has a name of {length_bytes} bytes; at most 247 leave room for the names of side"
    )

    assert files_below(tmp_path) == []


@each_way
@pytest.mark.parametrize("name", ["a\\b", "a b", "a\nb", "\u00e9", "a%b", "a#b?c", "a'b", 'a"b'])
def test_an_odd_name_is_a_name(tmp_path: Path, run: Callable[..., None], way: str, name: str) -> None:
    target = tmp_path / f"{name}{WAYS[way][0]}"

    run(target, way)

    np.testing.assert_array_equal(read_raster(target), PIXELS)
