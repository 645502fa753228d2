"""`python -m distmlp` is the command `distmlp`."""

import sys

from distmlp.cli.main import main

sys.exit(main())
