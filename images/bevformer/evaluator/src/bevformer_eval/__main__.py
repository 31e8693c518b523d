"""`python -m bevformer_eval` is `bevformer-eval`."""

import sys

from bevformer_eval.cli import main

sys.exit(main())
