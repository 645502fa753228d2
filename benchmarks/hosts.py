"""Hosts to measure a network with, on one machine: network namespaces joined by a bridge.  Root only.

Each has its own address and host name; Open MPI starts ranks in them through an agent in the place
of ssh and reaches from one to another over TCP.  What a host sends is delayed and paced by the kernel
(tc netem); a kernel without netem can only pace it (tbf), and the delay is then what TCP itself takes.
Nothing leaves the machine; the hosts share its cores and its memory.
"""

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import measuring

#: What mpirun starts instead of ssh: ADDRESS COMMAND…  A host name of its own keeps a launcher from
#: taking two hosts for one.
_AGENT = """#!/bin/sh
while [ "${{1#-}}" != "$1" ]; do shift; done
address=$1; shift
exec ip netns exec "{name}-${{address##*.}}" unshare --uts sh -c "hostname {name}-${{address##*.}}; $*"
"""


def why_not() -> str | None:
    """Why there can be no such hosts here, or None."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    missing = [program for program in ("ip", "tc", "unshare") if shutil.which(program) is None]
    if missing:
        return f"{', '.join(missing)} not found (iproute2 and util-linux have them)"
    if "Open MPI" not in subprocess.run([*measuring.mpirun(), "--version"], capture_output=True, text=True).stdout:
        return "the agent in the place of ssh is for Open MPI's mpirun"
    name = f"dm{os.getpid()}-try"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if tried.returncode:
        return f"no network namespace can be made: {tried.stderr.strip()}"
    _run(f"ip netns del {name}")
    return None


def shaping(delay: str, rate: str) -> str:
    """How the kernel can shape what a host sends, as words for tc."""
    name = f"dm{os.getpid()}-try"
    _run(f"ip netns add {name}")
    netem = f"netem limit 100000 delay {delay} rate {rate}"
    tried = subprocess.run(f"ip netns exec {name} tc qdisc add dev lo root {netem}".split(), capture_output=True)
    _run(f"ip netns del {name}")
    # A message smaller than tbf's burst is not paced, so the burst is kept near one segment.
    return netem if tried.returncode == 0 else f"tbf rate {rate} burst 64kb latency 100ms"


def _run(command: str) -> None:
    done = subprocess.run(command.split(), capture_output=True, text=True)
    if done.returncode:
        raise measuring.Failed(f"{command}: {done.stderr.strip()}")


@contextmanager
def hosts(count: int, delay: str, rate: str):
    """The mpirun, as words before `-n`, that starts one rank on each of `count` hosts; they go with the block.

    delay, rate: of what a host sends, such as "20us" and "10gbit".
    """
    name = f"dm{os.getpid()}"  # short: an interface's name has 15 characters at most
    made, shaped = [], shaping(delay, rate)
    with tempfile.TemporaryDirectory(prefix="distmlp-hosts-") as directory:
        agent = Path(directory) / "agent"
        agent.write_text(_AGENT.format(name=name))
        agent.chmod(0o755)

        def namespace(which: str) -> None:
            _run(f"ip netns add {which}")
            made.append(which)

        try:
            namespace(f"{name}-sw")
            _run(f"ip -n {name}-sw link add br0 type bridge")
            _run(f"ip -n {name}-sw link set br0 up")
            for i in range(1, count + 1):
                host = f"{name}-{i}"
                namespace(host)
                _run(f"ip link add {name}v{i} netns {name}-sw type veth peer name e0 netns {host}")
                _run(f"ip -n {name}-sw link set {name}v{i} master br0 up")
                _run(f"ip -n {host} addr add 10.77.0.{i}/24 dev e0")
                _run(f"ip -n {host} link set e0 up")
                _run(f"ip -n {host} link set lo up")
                _run(f"ip -n {host} link set e0 gso_max_size 32768")
                _run(f"ip netns exec {host} tc qdisc add dev e0 root {shaped}")
            yield _launcher(name, count, agent)
        finally:
            for which in made:
                subprocess.run(["ip", "netns", "del", which], capture_output=True)


def _launcher(name: str, count: int, agent: Path) -> list[str]:
    addresses = ",".join(f"10.77.0.{i}:1" for i in range(1, count + 1))
    passed = [word for variable in ("PATH", "PYTHONPATH") if variable in os.environ for word in ("-x", variable)]
    settings = {"btl": "tcp,self", "pml": "ob1", "btl_tcp_if_include": "e0"}
    if count > measuring.cores():
        settings["mpi_yield_when_idle"] = "1"
    first = ["ip", "netns", "exec", f"{name}-1", "unshare", "--uts", "sh", "-c", f'hostname {name}-1; exec "$@"', "sh"]
    return [
        *first,
        *measuring.mpirun(),
        *("--prtemca", "plm_ssh_agent", str(agent), "--prtemca", "prte_if_include", "e0", "--bind-to", "none"),
        *(word for key, value in settings.items() for word in ("--mca", key, value)),
        *("-H", addresses),
        *passed,
    ]
