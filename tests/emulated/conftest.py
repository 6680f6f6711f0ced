"""Tests here may use the emulated AWS with the default stack in it."""

from tests.emulation.fixtures import *  # noqa: F403 - fixtures and the hook, by their names
