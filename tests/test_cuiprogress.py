from __future__ import annotations

import re

import pytest
from tqdm.auto import tqdm

from rios_batch.cuiprogress import CUIProgressBar, GDALProgressBar, LogProgressBar, SilentProgress

GDAL_LINE = "0...10...20...30...40...50...60...70...80...90...100 - done.\n"


@pytest.fixture(autouse=True)
def _tqdm_monitor_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tqdm, "monitor_interval", tqdm.monitor_interval)


@pytest.mark.parametrize("step", [1, 7, 30, 100])
def test_gdals_line_is_the_same_however_coarse_the_steps_are(
    capsys: pytest.CaptureFixture[str], step: int
) -> None:
    bar = GDALProgressBar()
    bar.setTotalSteps(100)

    for progress in [*range(0, 100, step), 100]:
        bar.setProgress(progress)

    assert capsys.readouterr().out == GDAL_LINE


@pytest.mark.parametrize("steps", [1, 7, 40, 12345])
def test_gdals_line_goes_by_the_total(capsys: pytest.CaptureFixture[str], steps: int) -> None:
    bar = GDALProgressBar()
    bar.setTotalSteps(steps)

    bar.setProgress(steps)

    assert capsys.readouterr().out == GDAL_LINE


def test_gdals_line_shows_half_at_half(capsys: pytest.CaptureFixture[str]) -> None:
    bar = GDALProgressBar()
    bar.setTotalSteps(10)

    bar.setProgress(5)

    assert capsys.readouterr().out == "0...10...20...30...40...50"


def test_gdals_line_does_not_go_back(capsys: pytest.CaptureFixture[str]) -> None:
    bar = GDALProgressBar()

    bar.setProgress(50)
    bar.setProgress(20)
    bar.setProgress(50)

    assert capsys.readouterr().out == "0...10...20...30...40...50"


def test_gdals_line_starts_again_after_reset(capsys: pytest.CaptureFixture[str]) -> None:
    bar = GDALProgressBar()

    bar.setProgress(100)
    bar.reset()
    bar.setProgress(100)

    assert capsys.readouterr().out == 2 * GDAL_LINE


def test_the_bar_shows_label_percent_and_time_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    bar = CUIProgressBar()
    bar.setTotalSteps(5)
    bar.setLabelText("Computing")

    bar.setProgress(0)
    first = capsys.readouterr()
    bar.setProgress(5)
    last = capsys.readouterr()

    assert (first.out, last.out) == ("", "")
    assert first.err.split("\r")[-1].startswith("Computing:   0%|")
    assert last.err.split("\r")[-1].startswith("Computing: 100%|")
    assert re.search(r"00:00 gone, 00:00 left\n$", last.err)


def test_a_label_set_later_replaces_the_one_before_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    bar = CUIProgressBar()
    bar.setLabelText("Computing")
    bar.setProgress(10)

    bar.setLabelText("Writing")

    last = capsys.readouterr().err.split("\r")[-1]
    bar.reset()
    assert last.startswith("Writing:  10%|")


def test_the_bar_ends_its_line_when_the_total_is_reached(capsys: pytest.CaptureFixture[str]) -> None:
    bar = CUIProgressBar()
    bar.setTotalSteps(5)

    bar.setProgress(4)
    assert not capsys.readouterr().err.endswith("\n")
    bar.setProgress(5)

    assert capsys.readouterr().err.endswith("\n")


def test_a_new_total_starts_a_new_bar(capsys: pytest.CaptureFixture[str]) -> None:
    bar = CUIProgressBar()
    bar.setTotalSteps(100)
    bar.setProgress(50)

    bar.setTotalSteps(10)
    assert " 50%|" in capsys.readouterr().err.split("\r")[-1]
    bar.setProgress(1)
    bar.reset()

    assert " 10%|" in capsys.readouterr().err.split("\r")[-1]


def test_a_log_file_does_not_get_a_drawing_for_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    bar = CUIProgressBar()

    for progress in range(101):
        bar.setProgress(progress)

    drawings = capsys.readouterr().err.split("\r")[1:]
    assert "  0%|" in drawings[0]
    assert "100%|" in drawings[-1]
    assert len(drawings) < 5


def test_reset_without_a_bar_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    CUIProgressBar().reset()

    assert capsys.readouterr().err == ""


def test_the_bar_starts_no_thread_that_would_outlive_it() -> None:
    bar = CUIProgressBar()
    bar.setProgress(1)
    bar.reset()

    assert tqdm.monitor_interval == 0
    assert tqdm.monitor is None


def test_silence_is_silent_and_nobody_cancels(capsys: pytest.CaptureFixture[str]) -> None:
    silent = SilentProgress()
    silent.setTotalSteps(5)
    silent.setLabelText("x")
    silent.setProgress(5)
    silent.reset()

    assert capsys.readouterr() == ("", "")
    assert not any(bar.wasCancelled() for bar in (silent, CUIProgressBar(), GDALProgressBar()))


def test_a_log_gets_a_line_for_every_per_cent_that_is_another(capsys: pytest.CaptureFixture[str]) -> None:
    bar = LogProgressBar()
    bar.setTotalSteps(200)
    bar.setLabelText("Computing")

    for progress in (0, 1, 2, 3, 20, 21, 200):
        bar.setProgress(progress)

    assert capsys.readouterr() == ("Computing\n0%\n1%\n10%\n100%\n", "")


def test_a_log_starts_again_after_reset(capsys: pytest.CaptureFixture[str]) -> None:
    bar = LogProgressBar()

    bar.setProgress(35)
    bar.setProgress(35)
    bar.reset()
    bar.setProgress(35)

    assert capsys.readouterr().out.splitlines() == ["35%", "35%"]


def show_messages(bar: SilentProgress) -> None:
    bar.displayInfo("for information")
    bar.displayWarning("be careful")
    bar.displayError("it failed")
    bar.displayException("Traceback: ...")


@pytest.mark.parametrize("kind", [CUIProgressBar, GDALProgressBar, LogProgressBar])
def test_messages_for_the_user_are_shown_on_standard_output(
    capsys: pytest.CaptureFixture[str], kind: type[SilentProgress]
) -> None:
    show_messages(kind())

    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.splitlines() == [
        "Info: for information",
        "Warning: be careful",
        "Error: it failed",
        "Traceback: ...",
    ]


def test_silent_progress_shows_no_messages(capsys: pytest.CaptureFixture[str]) -> None:
    show_messages(SilentProgress())

    assert capsys.readouterr() == ("", "")
