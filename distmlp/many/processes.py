"""Training many networks on a workstation without MPI: each is a process of its own, so one that dies ends alone."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import tomli_w

from distmlp import errors, files
from distmlp.cluster.mpirun import starting
from distmlp.cluster.stopping import signal_with_parent
from distmlp.config.sections import Config
from distmlp.many.plan import Member, config_of
from distmlp.many.running import (
    COMPLETE,
    DIVERGED,
    FAILED,
    STOPPED,
    Outcome,
    is_complete,
    sentence,
)

#: What a process prints, in its member's directory.
OUTPUT = "output.txt"

_STATES = {errors.COMPLETE: COMPLETE, errors.STOPPED: STOPPED, errors.DIVERGED: DIVERGED}


def run_as_processes(
    config: Config,
    members: list[Member],
    at_once: int,
    should_stop: Callable[[], bool],
    say: Callable[[str], None],
) -> dict[str, Outcome]:
    """Trains what is not complete yet, so many at a time; the outcomes by name.

    Each process is `distmlp train DIRECTORY/NAME/config.toml`.  Where this one is asked to stop, so are they.
    """
    ends = time.monotonic() + config.run.time_limit_seconds
    left = [member for member in members if not is_complete(config, member)]
    at_work: dict[str, tuple[Member, subprocess.Popen[bytes]]] = {}
    found: dict[str, Outcome] = {}
    told = False
    try:
        while left or at_work:
            stop = should_stop() or time.monotonic() > ends
            if stop and not told:
                told = True
                for _, process in at_work.values():
                    process.send_signal(signal.SIGTERM)
            if stop:
                found.update({member.name: Outcome(STOPPED, "asked to stop") for member in left})
                left = []
            while left and len(at_work) < at_once:
                member = left.pop(0)
                at_work[member.name] = member, _start(config_of(config, member))
            for name, (member, process) in list(at_work.items()):
                if process.poll() is not None:
                    del at_work[name]
                    found[name] = _outcome(process.returncode, config, member, told)
                    say(sentence(member, found[name]))
            time.sleep(0.05)
    finally:
        for _, process in at_work.values():  # only where this process fails
            process.kill()
            process.wait()
    return found


def _start(config: Config) -> "subprocess.Popen[bytes]":
    directory = Path(config.run.directory)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "config.toml"
    files.write(path, tomli_w.dumps(asdict(config)).encode())
    command = [*starting(sys.executable), "train", str(path), "--progress", "none"]
    with open(directory / OUTPUT, "ab") as output:
        # In a session of its own: a terminal's Ctrl-C is passed on once, by us.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # it stops with a checkpoint where this process is killed
            preexec_fn=signal_with_parent(signal.SIGTERM),
        )


def _outcome(status: int, config: Config, member: Member, told: bool) -> Outcome:
    """How a member ended whose process had this exit status, or died of a signal (negative).

    told: whether it was asked to stop.
    """
    state = _STATES.get(status, FAILED)
    if told and status == -signal.SIGTERM:
        # It was told before it listened, or when it had done.
        state = COMPLETE if is_complete(config, member) else STOPPED
    if state in (COMPLETE, STOPPED):
        return Outcome(state)
    path = Path(config.run.directory) / member.name / OUTPUT
    prefix = "distmlp: "
    with files.open_regular(path) as file:
        said = file.read().decode(errors="replace").splitlines()
    last = next((line[len(prefix) :] for line in reversed(said) if line.startswith(prefix)), "")
    how = f"died of signal {-status}" if status < 0 else last or f"exit status {status}"
    return Outcome(state, f"{how} ({path})")
