# ruff: noqa: N802 - RIOS's names
"""Progress for the terminal: ``controls.setProgress(cuiprogress.CUIProgressBar())``."""

from __future__ import annotations

import sys
import warnings
from typing import Any

from tqdm import TqdmWarning

with warnings.catch_warnings():
    # In a notebook without ipywidgets there is a bar of text, and nothing is wrong with that.
    warnings.simplefilter("ignore", TqdmWarning)
    from tqdm.auto import tqdm  # a widget in a notebook that can show one

_EVERY_S, _EVERY_S_OF_A_LOG = 0.1, 30.0  # a log file has a line for every drawing


def _in_notebook() -> bool:
    """Say whether standard error is a notebook's cell, where a bar is drawn over, be it a widget or text."""
    return type(sys.stderr).__module__.partition(".")[0] == "ipykernel"


class SilentProgress:
    """A progress object that shows nothing at all."""

    def setTotalSteps(self, steps: int) -> None:
        """Accept the number that stands for "done"."""

    def setProgress(self, progress: int) -> None:
        """Accept how far the run is, from 0 to the total."""

    def setLabelText(self, text: str) -> None:
        """Accept what is being done."""

    def reset(self) -> None:
        """Start again."""

    def wasCancelled(self) -> bool:
        """Return False: nobody cancelled. A subclass that returns True stops the run between two tiles."""
        return False

    def displayInfo(self, text: str) -> None:
        """Accept a text of the script."""

    def displayWarning(self, text: str) -> None:
        """Accept a warning of the script."""

    def displayError(self, text: str) -> None:
        """Accept an error of the script."""

    def displayException(self, trace: str) -> None:
        """Accept a traceback, as Python's ``traceback.format_exc`` returns it."""


class _WithMessages(SilentProgress):
    """Shows messages of the script on standard output. A bar stays below them."""

    def displayInfo(self, text: str) -> None:
        """Show a text of the script."""
        tqdm.write(f"Info: {text}")

    def displayWarning(self, text: str) -> None:
        """Show a warning of the script."""
        tqdm.write(f"Warning: {text}")

    def displayError(self, text: str) -> None:
        """Show an error of the script."""
        tqdm.write(f"Error: {text}")

    def displayException(self, trace: str) -> None:
        """Show a traceback, as Python's ``traceback.format_exc`` returns it."""
        tqdm.write(trace)


class CUIProgressBar(_WithMessages):
    """A bar on standard error, with the time that is gone and the time that is left."""

    def __init__(self) -> None:
        self._steps, self._label = 100, ""
        self._bar: tqdm[Any] | None = None

    def setTotalSteps(self, steps: int) -> None:
        """Set the number that stands for "done"."""
        self._steps = steps
        self.reset()

    def setLabelText(self, text: str) -> None:
        """Show what is being done, on the left of the bar."""
        self._label = text
        if self._bar is not None:
            self._bar.set_description_str(text)

    def setProgress(self, progress: int) -> None:
        """Draw the bar. The bar is closed when ``progress`` reaches the total."""
        if self._bar is None:
            # tqdm's monitor is a thread, which would outlive the bar.
            tqdm.monitor_interval = 0
            self._bar = tqdm(
                total=self._steps,
                desc=self._label or None,
                file=sys.stderr,
                mininterval=_EVERY_S if sys.stderr.isatty() or _in_notebook() else _EVERY_S_OF_A_LOG,
                bar_format="{l_bar}{bar}| {elapsed} gone, {remaining} left",
            )
        self._bar.update(progress - self._bar.n)
        if progress >= self._steps:
            self.reset()

    def reset(self) -> None:
        """Close the bar. The next ``setProgress`` draws a new bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class GDALProgressBar(_WithMessages):
    """The line that GDAL's tools print: ``0...10...20 ... 100 - done.``, on standard output."""

    _TICK = 2.5  # a dot each, a number at every fourth, as gdalwarp prints them

    def __init__(self) -> None:
        self._steps, self._ticks = 100, -1

    def setTotalSteps(self, steps: int) -> None:
        """Set the number that stands for "done"."""
        self._steps = steps
        self.reset()

    def setProgress(self, progress: int) -> None:
        """Print the ticks that ``progress`` has passed."""
        ticks = int(100 * progress / self._steps / self._TICK)
        while self._ticks < ticks:
            self._ticks += 1
            sys.stdout.write("." if self._ticks % 4 else str(int(self._ticks * self._TICK)))
            if self._ticks == 100 / self._TICK:
                sys.stdout.write(" - done.\n")
        sys.stdout.flush()

    def reset(self) -> None:
        """Start a new line of ticks."""
        self._ticks = -1


class LogProgressBar(_WithMessages):
    """A line such as ``42%`` for every per cent that differs from the one before, on standard output. For log files."""

    def __init__(self) -> None:
        self._steps, self._told = 100, -1

    def setTotalSteps(self, steps: int) -> None:
        """Set the number that stands for "done"."""
        self._steps = steps
        self.reset()

    def setLabelText(self, text: str) -> None:
        """Write a line with what is being done."""
        sys.stdout.write(f"{text}\n")

    def setProgress(self, progress: int) -> None:
        """Write a line if the per cent has changed."""
        percent = 100 * progress // self._steps
        if percent != self._told:
            self._told = percent
            sys.stdout.write(f"{percent}%\n")
            sys.stdout.flush()

    def reset(self) -> None:
        """Start again."""
        self._told = -1
