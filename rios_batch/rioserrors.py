"""RIOS's module name for the errors: ``from rios_batch import rioserrors``."""

from rios_batch.errors import *  # noqa: F403 - this module exists to give them a second name
