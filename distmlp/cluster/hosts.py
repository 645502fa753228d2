"""The hosts that ranks are started on, and which of them still answer.  Standard library only."""

import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

#: How a host is asked where nothing else is named.
_SSH = "ssh -o BatchMode=yes"


@dataclass(frozen=True)
class Host:
    """A host and how many ranks it takes."""

    name: str
    ranks: int


def hosts_of(text: str, ranks: int) -> tuple[Host, ...]:
    """The hosts of "a:2,b:2"; where no ranks are given, as many on each as are needed."""
    words = [word for word in text.split(",") if word]
    return tuple(
        Host(name, int(count) if count else -(-ranks // len(words)))
        for name, _, count in (word.partition(":") for word in words)
    )


def listed(hosts: Sequence[Host]) -> str:
    """The hosts as mpirun takes them: "a:2,b:2"."""
    return ",".join(f"{host.name}:{host.ranks}" for host in hosts)


def reachable(hosts: Sequence[Host], agent: str | None, seconds: float = 10.0) -> tuple[Host, ...]:
    """The hosts that answer within so many seconds, asked all at once.

    agent: the command that reaches a host in place of ssh.
    """
    asked = {host: _ask(host, agent) for host in hosts if not is_here(host.name)}
    until = time.monotonic() + seconds
    return tuple(host for host in hosts if host not in asked or _answers(asked[host], until))


def _ask(host: Host, agent: str | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*shlex.split(agent or _SSH), host.name, "true"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _answers(asked: subprocess.Popen[bytes], until: float) -> bool:
    try:
        return asked.wait(max(0.0, until - time.monotonic())) == 0
    except subprocess.TimeoutExpired:
        os.killpg(asked.pid, signal.SIGKILL)
        asked.wait()
        return False


def is_here(name: str) -> bool:
    """Whether this is the host of that name or address."""
    if name in ("localhost", socket.gethostname(), socket.gethostname().partition(".")[0]):
        return True
    try:
        with socket.create_server((socket.gethostbyname(name), 0)):
            return True
    except OSError:
        return False
