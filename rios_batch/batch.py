"""``from rios_batch import batch`` makes the AWSBatch job manager known, as RIOS 1.4's ``rios.parallel.aws.batch`` did.

``controls.setJobManagerType('AWSBatch')`` is enough to use AWSBatch. `Workers` are for many calls of ``apply``.
"""

from rios_batch.awsbatch.manager import AWSBatch
from rios_batch.awsbatch.workerpool import Workers
from rios_batch.errors import JobMgrError as AWSBatchException

__all__ = ["AWSBatch", "AWSBatchException", "Workers"]
