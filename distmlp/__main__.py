"""`python -m distmlp` is the command `distmlp`."""

import sys

from distmlp.cli import main

sys.exit(main())
