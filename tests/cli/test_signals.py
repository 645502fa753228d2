"""Signals as a run sees them, in a process of their own; what they do to whole runs is in tests/faults."""

import subprocess
import sys
import time

import pytest

ASKED = """
import os, signal, time
from distmlp.cli.signals import StopFlag
stop = StopFlag()
assert not stop()
os.kill(os.getpid(), signal.{name})
until = time.monotonic() + 30
while not stop() and time.monotonic() < until:
    time.sleep(0.01)
print(stop())
"""
TWICE = """
import os, signal, time
from distmlp.cli.signals import StopFlag
stop = StopFlag()
class Ranks:
    def abort(self, status):
        print("abort", status, flush=True)
stop.comm = Ranks()
os.kill(os.getpid(), signal.SIGINT)
time.sleep({pause})
os.kill(os.getpid(), signal.SIGINT)
time.sleep(2)
print("goes on")
"""
BOUNDED = """
import time
from distmlp.cli.signals import bounded
with bounded({bound}):
    time.sleep(0.5)
print("in time")
"""


def python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1"])
def test_a_signal_asks_for_a_stop(name):
    done = python(ASKED.format(name=name))
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


@pytest.mark.slow
def test_a_second_sigint_ends_all_ranks():
    done = python(TWICE.format(pause=1.0))
    assert (done.returncode, done.stdout) == (130, "abort 130\n"), done.stderr


@pytest.mark.slow
def test_two_at_once_are_one():
    done = python(TWICE.format(pause=0.0))
    assert (done.returncode, done.stdout) == (0, "goes on\n"), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("bound", ["60.0", "float('inf')"])
def test_what_is_in_time_goes_on(bound):
    done = python(BOUNDED.format(bound=bound))
    assert (done.returncode, done.stdout) == (0, "in time\n"), done.stderr


def test_what_takes_longer_ends_with_its_traceback():
    began = time.monotonic()
    done = python(BOUNDED.format(bound=0.1))
    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert "line 5 in <module>" in done.stderr
    assert time.monotonic() - began < 60
