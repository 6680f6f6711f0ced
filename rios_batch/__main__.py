"""``python -m rios_batch``."""

import sys

from rios_batch.cli import main

sys.exit(main())
