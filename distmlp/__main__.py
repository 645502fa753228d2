"""`python -m distmlp` is the command `distmlp`."""

import signal
import sys


def run() -> int:
    """Runs the command of this process and returns its exit status."""
    # Ctrl-C ends the process, also while it imports; a training takes the signal for itself.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from distmlp.cli.main import main

    return main()


if __name__ == "__main__":
    sys.exit(run())
