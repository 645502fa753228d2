"""The hosts that ranks are started on, and which of them still answer.  Standard library only."""

import os
import re
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from distmlp.errors import InputError

#: How a host is asked where nothing else is named.
_SSH = "ssh -o BatchMode=yes"

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_COUNT = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class Host:
    """A host and how many ranks it takes."""

    name: str
    ranks: int


def hosts_of(text: str, ranks: int) -> tuple[Host, ...]:
    """The hosts of "a:2,b:2"; where no ranks are given, as many on each as are needed.  Raises InputError."""
    words = [word for word in text.split(",") if word]
    if text and not words:
        raise InputError(f"-H {text}: names no host; expected host[:ranks],… such as node1:32")
    found = []
    for word in words:
        name, colon, count = word.partition(":")
        # A name that begins with "-" would be an option of ssh.
        if not _NAME.fullmatch(name) or (colon and not _COUNT.fullmatch(count)):
            raise InputError(
                f"-H {text}: {word} is no host; expected host[:ranks],… such as node1:32,node2:32"
            )
        found.append(Host(name, int(count) if count else -(-ranks // len(words))))
    return tuple(found)


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
