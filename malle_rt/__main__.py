"""``python -m malle_rt``."""

import sys

from malle_rt.cli import main

sys.exit(main())
