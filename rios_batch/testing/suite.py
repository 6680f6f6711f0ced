"""All that is asked of a job manager, in one class; needs pytest."""

from __future__ import annotations

from rios_batch.testing.errors import ErrorTests
from rios_batch.testing.otherargs import OtherArgsTests
from rios_batch.testing.pixels import PixelTests
from rios_batch.testing.progress import ProgressTests
from rios_batch.testing.scripts import ScriptTests
from rios_batch.testing.workers import WorkerTests


class JobManagerTests(PixelTests, ErrorTests, OtherArgsTests, WorkerTests, ProgressTests, ScriptTests):
    """What is asked of every job manager.

    A subclass whose name begins with ``Test`` says which manager is tested and what that manager can do. Importing the
    module of the tests has to import the manager. What a manager does not claim to do is skipped.

    Attributes
    ----------
    manager_type : the manager's ``jobMgrType``.
    num_threads : for ``setNumThreads``, at least 2 (``apply`` needs no manager for one); default 2.
    pickles : function and otherArgs go to worker processes; default False: they stay in this process.
    survives_sigkill : a tile whose worker process is killed is done again, twice at most; default False.
    same_machine : workers see this machine's files, and a function's exception is the error's cause; default True.
    same_surroundings : workers have the script's import path, and print where the script prints; default True. Has no
        meaning where workers do not see this machine's files.
    script_imports : lines with which a script imports the manager; default none. A script finds the tests' modules.
    """
