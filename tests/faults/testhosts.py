"""Test hosts on this machine: network namespaces, each with its own address, joined by a bridge.  Root only.

Nothing of them can be reached from outside, and they have names of their own, so several tests can
have theirs at once.  They share this machine's files, processes and cores.
"""

import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENTER, SLOW_CABLE = HERE / "enter_host", HERE / "slow_cable.py"


class Hosts:
    """Hosts 1 … count with the addresses 10.77.0.1 …"""

    def __init__(self, count: int):
        self.prefix = f"distmlp-{os.getpid()}-"
        self.addresses = [f"10.77.0.{i}" for i in range(1, count + 1)]
        self._switch = f"{self.prefix}switch"
        self._up, self._cables = [], []

    @property
    def environment(self) -> dict[str, str]:
        """What mpirun on host 1 needs to reach the others."""
        return {
            "DISTMLP_TEST_HOSTS": self.prefix,
            "PRTE_MCA_plm_ssh_agent": str(ENTER),
            "PRTE_MCA_prte_if_include": "e0",
            "OMPI_MCA_btl_tcp_if_include": "e0",
            "HYDRA_IFACE": "e0",
            "UCX_TLS": "tcp,self",  # MPICH would see through the hosts that they share memory
        }

    def inside(self, i: int, *words) -> list[str]:
        """The command line that runs WORDS on host i."""
        return [
            *self._inside(i),
            "unshare",
            "--uts",
            "sh",
            "-c",
            'hostname "$0"; exec "$@"',
            f"node{i}",
            *map(str, words),
        ]

    def make(self) -> None:
        self._ip("netns", "add", self._switch)
        self._up.append(self._switch)
        self._ip("-n", self._switch, "link", "add", "br0", "type", "bridge")
        self._ip("-n", self._switch, "link", "set", "br0", "up")
        for i, address in enumerate(self.addresses, 1):
            name = f"{self.prefix}{i}"
            self._ip("netns", "add", name)
            self._up.append(name)
            self._ip(
                "-n",
                self._switch,
                "link",
                "add",
                f"v{i}",
                "type",
                "veth",
                "peer",
                "name",
                "e0",
                "netns",
                name,
            )
            self._ip("-n", name, "link", "set", "lo", "up")
            self._plug_in(i, address)

    def _plug_in(self, i: int, address: str) -> None:
        self._ip("-n", self._switch, "link", "set", f"v{i}", "master", "br0", "up")
        self._ip("-n", f"{self.prefix}{i}", "addr", "add", f"{address}/24", "dev", "e0")
        self._ip("-n", f"{self.prefix}{i}", "link", "set", "e0", "up")

    def cut(self, i: int) -> None:
        """Takes host i from the network, as a pulled cable does: nobody is told."""
        self._ip("-n", self._switch, "link", "set", f"v{i}", "nomaster")

    def join(self, i: int) -> None:
        """Brings host i back."""
        self._ip("-n", self._switch, "link", "set", f"v{i}", "master", "br0")

    def shape(self, i: int, *words: str) -> None:
        """Puts tc's words on what host i sends: shape(2, "tbf", "rate", "5mbit", …)."""
        subprocess.run(
            [*self._inside(i), "tc", "qdisc", "replace", "dev", "e0", "root", *words],
            check=True,
            capture_output=True,
        )

    def delay(self, i: int, seconds: float, loss: float) -> None:
        """Gives host i another cable, on which every frame takes so many seconds, and this share of them is lost."""
        self._ip("-n", f"{self.prefix}{i}", "link", "del", "e0")
        cable = subprocess.Popen(
            [
                "ip",
                "netns",
                "exec",
                self._switch,
                sys.executable,
                SLOW_CABLE,
                f"v{i}",
                "far",
                str(seconds),
                str(loss),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._cables.append(cable)
        assert cable.stdout.readline() == "up\n"
        self._ip(
            "-n", self._switch, "link", "set", "far", "netns", f"{self.prefix}{i}", "name", "e0"
        )
        self._plug_in(i, self.addresses[i - 1])

    def limit_segments(self, i: int, size: int) -> None:
        """Bounds how many bytes host i's TCP hands to its link at once: tc paces, or drops, these as a whole."""
        self._ip("-n", f"{self.prefix}{i}", "link", "set", "e0", "gso_max_size", str(size))

    def give_up_soon(self) -> None:
        """Lets every host's TCP give up a silent peer after 4 tries (6 seconds) instead of 15 (a quarter of an hour)."""
        for i in range(1, len(self.addresses) + 1):
            subprocess.run(
                [*self._inside(i), "sh", "-c", "echo 4 > /proc/sys/net/ipv4/tcp_retries2"],
                check=True,
            )

    def processes(self, i: int) -> list[int]:
        """The ids of all processes on host i."""
        found = subprocess.run(
            ["ip", "netns", "pids", f"{self.prefix}{i}"], capture_output=True, text=True
        )
        return [int(word) for word in found.stdout.split()]

    def connections(self, i: int) -> list[str]:
        """Host i's TCP connections, each with its timers and its process, as ss prints them."""
        words = [*self._inside(i), "ss", "--tcp", "--options", "--processes", "--no-header"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()

    def kill(self, i: int) -> None:
        """kill -9 of all processes on host i."""
        for pid in self.processes(i):
            with suppress(ProcessLookupError):
                os.kill(pid, 9)

    def left(self, within: float) -> list[str]:
        """The command lines of the processes that are on any host after that many seconds still."""
        until = time.monotonic() + within
        while found := [
            pid for i in range(1, len(self.addresses) + 1) for pid in self.processes(i)
        ]:
            if time.monotonic() > until:
                return [command_line(pid) for pid in found]
            time.sleep(0.1)
        return []

    def remove(self) -> None:
        for i in range(1, len(self.addresses) + 1):
            self.kill(i)
        for cable in self._cables:
            with cable:
                cable.kill()
        for name in reversed(self._up):
            subprocess.run(["ip", "netns", "del", name], check=False)

    def _inside(self, i: int) -> list[str]:
        return ["ip", "netns", "exec", f"{self.prefix}{i}"]

    @staticmethod
    def _ip(*words) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)


def command_line(pid: int) -> str:
    """What a process was started with."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return f"process {pid}"


def why_not() -> str | None:
    """Why there cannot be test hosts here, or None."""
    if os.geteuid() != 0:
        return "test hosts (network namespaces) need root"
    missing = [
        program for program in ("ip", "tc", "ss", "unshare") if shutil.which(program) is None
    ]
    if missing:
        return f"test hosts need {', '.join(missing)} (iproute2, util-linux)"
    probe = subprocess.run(["unshare", "--net", "--uts", "true"], capture_output=True)
    return (
        None
        if probe.returncode == 0
        else f"no network namespaces here: {probe.stderr.decode().strip()}"
    )


def why_no_slow_cable() -> str | None:
    """Why `Hosts.delay` cannot be had here, or None."""
    return (
        None
        if os.access("/dev/net/tun", os.R_OK | os.W_OK)
        else "a cable that delays needs /dev/net/tun"
    )


def why_no_netem() -> str | None:
    """Why delay and loss cannot be had here, or None."""
    words = ["unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]
    probe = subprocess.run(words, capture_output=True, text=True)
    return (
        None if probe.returncode == 0 else f"this kernel has no netem (tc: {probe.stderr.strip()})"
    )


@contextmanager
def hosts(count: int):
    made = Hosts(count)
    try:
        made.make()
        yield made
    finally:
        made.remove()
