"""`python -m builder` is `cellar`."""

import sys

from builder.cli import main

sys.exit(main())
