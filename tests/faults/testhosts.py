"""Test hosts on this machine: network namespaces, each with its own address, joined by a bridge.  Root only.

Nothing of them can be reached from outside, and they have names of their own, so several tests can
have theirs at once.
"""

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

ENTER = Path(__file__).resolve().parent / "enter_host"


class Hosts:
    """Hosts 1 … count with the addresses 10.77.0.1 …"""

    def __init__(self, count: int):
        self.prefix = f"distmlp-{os.getpid()}-"
        self.addresses = [f"10.77.0.{i}" for i in range(1, count + 1)]
        self._switch = f"{self.prefix}switch"
        self._up = []

    @property
    def environment(self) -> dict[str, str]:
        """What mpirun on host 1 needs to reach the others."""
        return {
            "DISTMLP_TEST_HOSTS": self.prefix,
            "PRTE_MCA_plm_ssh_agent": str(ENTER),
            "PRTE_MCA_prte_if_include": "e0",
            "OMPI_MCA_btl_tcp_if_include": "e0",
        }

    def inside(self, i: int, *words) -> list[str]:
        """The command line that runs WORDS on host i."""
        return ["ip", "netns", "exec", f"{self.prefix}{i}", "unshare", "--uts", "sh", "-c", 'hostname "$0"; exec "$@"', f"node{i}", *map(str, words)]

    def make(self) -> None:
        self._ip("netns", "add", self._switch)
        self._up.append(self._switch)
        self._ip("-n", self._switch, "link", "add", "br0", "type", "bridge")
        self._ip("-n", self._switch, "link", "set", "br0", "up")
        for i, address in enumerate(self.addresses, 1):
            name = f"{self.prefix}{i}"
            self._ip("netns", "add", name)
            self._up.append(name)
            self._ip("-n", self._switch, "link", "add", f"v{i}", "type", "veth", "peer", "name", "e0", "netns", name)
            self._ip("-n", self._switch, "link", "set", f"v{i}", "master", "br0", "up")
            self._ip("-n", name, "addr", "add", f"{address}/24", "dev", "e0")
            for link in ("e0", "lo"):
                self._ip("-n", name, "link", "set", link, "up")

    def cut(self, i: int) -> None:
        """Takes host i from the network."""
        self._ip("-n", f"{self.prefix}{i}", "link", "set", "e0", "down")

    def slow(self, i: int, *netem: str) -> None:
        """Makes host i's way out slow: slow(2, "delay", "5ms", "loss", "1%", "rate", "50mbit")."""
        subprocess.run(["ip", "netns", "exec", f"{self.prefix}{i}", "tc", "qdisc", "replace", "dev", "e0", "root", "netem", *netem], check=True)

    def processes(self, i: int) -> list[int]:
        """The ids of all processes on host i."""
        found = subprocess.run(["ip", "netns", "pids", f"{self.prefix}{i}"], capture_output=True, text=True)
        return [int(word) for word in found.stdout.split()]

    def remove(self) -> None:
        for name in reversed(self._up):
            subprocess.run(["ip", "netns", "del", name], check=False)

    @staticmethod
    def _ip(*words) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)


def why_not() -> str | None:
    """Why there cannot be test hosts here, or None."""
    if os.geteuid() != 0:
        return "test hosts (network namespaces) need root"
    missing = [program for program in ("ip", "tc", "unshare") if shutil.which(program) is None]
    if missing:
        return f"test hosts need {', '.join(missing)} (iproute2, util-linux)"
    probe = subprocess.run(["unshare", "--net", "--uts", "true"], capture_output=True)
    return None if probe.returncode == 0 else f"no network namespaces here: {probe.stderr.decode().strip()}"


@contextmanager
def hosts(count: int):
    made = Hosts(count)
    try:
        made.make()
        yield made
    finally:
        made.remove()
