"""RIOS's module name for the errors: ``from rios_batch import rioserrors``.

The module has the errors of ``rios_batch.errors``, and RIOS's other names, so that Python can read the ``except``
clauses of ported scripts. Where rios_batch raises another error in the same place, RIOS's name stands for that error.
"""

from rios_batch.errors import *  # noqa: F403 - this module exists to give them a second name
from rios_batch.errors import ArrayShapeError, JobMgrError, RiosBatchError, VectorRasterizationError

OutsideImageBoundsError = ArrayShapeError  # RIOS raises it for an array that is too large for the image


class _NeverRaisedError(RiosBatchError):
    """Something cannot go wrong in rios_batch: rios_batch does the work in another way, or does not do the work."""


class AttributeTableColumnError(_NeverRaisedError):
    """A column of an attribute table does not exist."""


class AttributeTableTypeError(_NeverRaisedError):
    """A column of an attribute table has another type."""


class RatBlockLengthError(_NeverRaisedError):
    """A script asks for blocks of an attribute table of a length that is not possible."""


class RatMismatchError(_NeverRaisedError):
    """Attribute tables do not go together."""


class UnavailableError(_NeverRaisedError):
    """A part of RIOS needs a package that is not installed."""


class VectorGeometryTypeError(VectorRasterizationError, _NeverRaisedError):
    """A vector layer has another kind of geometry than RIOS expects."""


class SinglePassActionsError(_NeverRaisedError):
    """Statistics or pyramids cannot be made while RIOS writes blocks."""


class PermissionError(_NeverRaisedError):  # noqa: A001 - RIOS's name
    """A temporary file may not be read or written."""


class TimeoutError(JobMgrError, _NeverRaisedError):  # noqa: A001 - RIOS's name
    """A block took longer than a buffer of RIOS waits."""


class ECSError(JobMgrError, _NeverRaisedError):
    """AWS ECS refused a request."""
