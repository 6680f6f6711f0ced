"""What RIOS has and this version lacks: entries go as the features come."""

from __future__ import annotations

# RIOS's setters that this version lacks, and what a script can do in the meantime. They raise rather than
# being accepted and ignored, and hasattr() is False for them.
NOT_YET = {
    "setConcurrencyStyle": "use setNumThreads and setJobManagerType",
    "setLoggingStream": "messages go to Python's logging under the name 'rios_batch'",
}
