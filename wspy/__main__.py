"""``python -m wspy``: the demos."""

import sys

from .cli import main

sys.exit(main())
