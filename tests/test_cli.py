from __future__ import annotations

import subprocess
import sys

import pytest

import rios_batch
from rios_batch import cli


def test_version_is_printed_by_python_m_rios_batch() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rios_batch", "--version"], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, f"rios_batch {rios_batch.__version__}\n", "")


def test_without_arguments_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0

    assert "--version" in capsys.readouterr().out


def test_an_unknown_argument_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--nonsense"])

    assert caught.value.code == 2
    assert "--nonsense" in capsys.readouterr().err


def test_watching_without_rich_says_what_to_install() -> None:
    code = "import sys; sys.modules['rich'] = None; from rios_batch import cli; sys.exit(cli.main(['watch', 'R']))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == "rios-batch: watching a run needs the package rich: pip install 'rios_batch[operations]'\n"
    )


def test_the_doctor_says_what_this_machine_lacks() -> None:
    code = (
        "import sys; sys.modules['osgeo'] = None; from rios_batch import cli; sys.exit(cli.main(['doctor']))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith(
        "BAD  this machine: rios_batch needs GDAL, and `from osgeo import gdal` fails here"
    )


def test_a_reader_that_has_read_enough_gets_no_traceback() -> None:
    code = (
        "import sys; from rios_batch import cli; sys.stdout.flush(); sys.exit(cli.main(['doctor', '--help']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()

    assert (process.returncode, said) == (1, "")


def test_importing_the_package_needs_neither_numpy_nor_gdal() -> None:
    code = "import sys, rios_batch, rios_batch.cli; print([m for m in ('numpy', 'osgeo', 'boto3') if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
