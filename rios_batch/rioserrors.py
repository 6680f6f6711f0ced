"""RIOS's module name for the errors: ``from rios_batch import rioserrors``.

Beside the project's own errors it has RIOS's other names, so that ``except`` clauses of ported scripts can be read.
Where something else is raised here in the same place, the name stands for that.
"""

from rios_batch.errors import *  # noqa: F403 - this module exists to give them a second name
from rios_batch.errors import ArrayShapeError, JobMgrError, RiosBatchError, VectorRasterizationError

OutsideImageBoundsError = ArrayShapeError  # RIOS raises it for an array that is too large for the image


class _NeverRaisedError(RiosBatchError):
    """Something that cannot go wrong here, because it is done otherwise or is not there."""


class AttributeTableColumnError(_NeverRaisedError):
    """A column of an attribute table does not exist."""


class AttributeTableTypeError(_NeverRaisedError):
    """A column of an attribute table has another type."""


class RatBlockLengthError(_NeverRaisedError):
    """Attribute tables are read in blocks of a length that is not possible."""


class RatMismatchError(_NeverRaisedError):
    """Attribute tables do not go together."""


class UnavailableError(_NeverRaisedError):
    """A part of RIOS needs a package that is not installed."""


class VectorGeometryTypeError(VectorRasterizationError, _NeverRaisedError):
    """A vector layer has another kind of geometry."""


class SinglePassActionsError(_NeverRaisedError):
    """Statistics or pyramids cannot be made while blocks are written."""


class PermissionError(_NeverRaisedError):  # noqa: A001 - RIOS's name
    """A temporary file may not be read or written."""


class TimeoutError(JobMgrError, _NeverRaisedError):  # noqa: A001 - RIOS's name
    """A block took longer than a buffer waits."""


class ECSError(JobMgrError, _NeverRaisedError):
    """AWS ECS refused a request."""
