"""A real SLURM on this machine: munged, slurmctld and a slurmd for each node.

The nodes are virtual: they share this machine and its cores.  Those of `Cluster` share its network too, on
the loopback interface: the first has the machine's own name, so that mpirun takes it for the local host; on
the second it starts its daemon through srun, as on a cluster.  Those of `ApartCluster` have a network
namespace and a host name each, so that one of them can be lost.
"""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "faults"))  # the test hosts

from testhosts import Hosts

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "squeue")
APT = "apt-get update && apt-get install -y --no-install-recommends slurmctld slurmd slurm-client munge libpmix2"

#: Debian's SLURM looks for the PMIx library under this name, which only libpmix-dev brings, and everything with it.
PMIX = Path("/usr/lib/x86_64-linux-gnu/pmix2/lib/libpmix.so")
PMIX_LINK = f"ln -s libpmix.so.2 {PMIX}"

ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")

_CONF = """\
ClusterName=test
SlurmctldHost={host}({address})
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job begins again once its old credential has expired: after 120 s, unless this says less; 5 is the least.
AuthInfo=socket={dir}/munge/sock,cred_expire=5
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
PriorityType=priority/basic
MailProg=/bin/true
ReturnToService=2
JobRequeue=1
KillWait=5
MinJobAge=600
InactiveLimit=0
SlurmctldTimeout=30
SlurmdParameters=config_overrides
StateSaveLocation={dir}/state
SlurmdSpoolDir={dir}/spool/%n
# One for each node, or their PMIx servers meet in it.
TmpFS={dir}/tmp/%n
SlurmctldPidFile={dir}/slurmctld.pid
SlurmdPidFile={dir}/slurmd.%n.pid
SlurmctldLogFile={dir}/slurmctld.log
SlurmdLogFile={dir}/slurmd.%n.log
"""


def missing() -> str | None:
    """Why no SLURM can be started here, with what would mend it; None where it can."""
    absent = [program for program in PROGRAMS if not shutil.which(program)]
    if absent:
        return f"SLURM is not installed here (no {', '.join(absent)}); as root: {APT}"
    if os.geteuid() != 0:
        return "a SLURM of one's own is started here as root only; in a container: docker run ... launch/test"
    return None


class Cluster:
    """SLURM with `nodes` nodes of `cpus` CPUs each, more than the machine may have; a context manager."""

    #: How long a node may be silent, and that nothing is to be heard beyond the loopback interface.
    SETTINGS = "SlurmdTimeout=60\nCommunicationParameters=NoCtldInAddrAny,NoInAddrAny\n"

    def __init__(self, nodes: int = 2, cpus: int = 4):
        self._cpus, self._daemons, self._slurmds = cpus, [], {}
        host = socket.gethostname().partition(".")[0]
        self.nodes = [host, *(f"{host}-v{i}" for i in range(2, nodes + 1))]
        # A short name: Unix sockets are made in it, and their paths may have 107 characters at most.
        self.dir = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.env = dict(os.environ, SLURM_CONF=str(self.dir / "slurm.conf"))

    def _places(self) -> list[tuple[str, str, int]]:
        """(host name, address, port) of the controller and of each node."""
        return [(self.nodes[0], "127.0.0.1", port) for port in _free_ports(1 + len(self.nodes))]

    def on(self, place: int, *words) -> list[str]:
        """The command line that runs WORDS where node number `place` is; 0 is the controller, and where users type."""
        return list(map(str, words))

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self):
        dir = self.dir
        for name in ("munge", "state", "spool", "tmp"):
            (dir / name).mkdir(mode=0o700)
        (dir / "munge/key").write_bytes(os.urandom(128))
        (dir / "munge/key").chmod(0o600)
        (dir / "cgroup.conf").write_text(
            "CgroupPlugin=cgroup/v1\n"
        )  # loaded, never used: 22.05 knows no "disabled"
        (host, address, port), *places = self._places()
        conf = _CONF.format(host=host, address=address, port=port, dir=dir) + self.SETTINGS
        for weight, (name, (host, address, port)) in enumerate(
            zip(self.nodes, places, strict=True), 1
        ):
            conf += f"NodeName={name} NodeHostname={host} NodeAddr={address} Port={port} "
            conf += f"CPUs={self._cpus} RealMemory=2000 Weight={weight} State=UNKNOWN\n"
        conf += f"PartitionName=main Nodes={','.join(self.nodes)} Default=YES MaxTime=INFINITE State=UP\n"
        (dir / "slurm.conf").write_text(conf)

        munge = dir / "munge"
        self._daemon(
            "munged",
            "-F",
            "--force",
            f"--key-file={munge}/key",
            f"--socket={munge}/sock",
            f"--pid-file={munge}/pid",
            f"--log-file={munge}/log",
            f"--seed-file={munge}/seed",
            "--group-update-time=-1",
            "--num-threads=2",
        )
        self.until((munge / "sock").exists, "munged")
        self._daemon(*self.on(0, "slurmctld", "-D", "-i", "-f", dir / "slurm.conf"))
        for name in self.nodes:
            (dir / "spool" / name).mkdir()
            (dir / "tmp" / name).mkdir()
            self._start_slurmd(name)
        # And not "idle*": a node that has not answered yet gets no job.
        expected = {f"{name} idle" for name in self.nodes}
        self.until(
            lambda: set(self._try("sinfo", "-h", "-N", "-o", "%N %t").splitlines()) == expected,
            "idle nodes",
        )

    def _start_slurmd(self, name: str) -> None:
        place = 1 + self.nodes.index(name)
        self._slurmds[name] = self._daemon(
            *self.on(place, "slurmd", "-D", "-N", name, "-f", self.dir / "slurm.conf")
        )

    def kill_slurmd(self, name: str) -> None:
        """kill -9 of a node's slurmd; what it has started goes on."""
        slurmd = self._slurmds.pop(name)
        self._daemons.remove(slurmd)
        slurmd.kill()
        slurmd.wait()

    def __exit__(self, *_):
        for state in ("PENDING", "RUNNING", "SUSPENDED"):
            self._try("scancel", "-Q", f"--state={state}", "-u", "root")
        limit = time.monotonic() + 15
        while time.monotonic() < limit and self._try("squeue", "-h", "-t", "R,CG,S"):
            time.sleep(0.1)
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def _daemon(self, program, *arguments) -> subprocess.Popen:
        with open(self.dir / "daemons.out", "ab") as out:
            started = subprocess.Popen(
                [shutil.which(program), *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self._daemons.append(started)
        return started

    def until(self, condition, what: str, seconds: float = 30.0):
        """The first value of condition() that is true."""
        limit = time.monotonic() + seconds
        while not (value := condition()):
            for daemon in self._daemons:
                assert daemon.poll() is None, (
                    f"{daemon.args} ended: {(self.dir / 'daemons.out').read_text()}"
                )
            assert time.monotonic() < limit, f"no {what} after {seconds} s"
            time.sleep(0.05)
        return value

    def run(self, *command) -> str:
        """What one of SLURM's commands prints."""
        done = subprocess.run(
            self.on(0, *command), env=self.env, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stderr}"
        return done.stdout

    def _try(self, *command) -> str:
        try:
            return subprocess.run(
                self.on(0, *command), env=self.env, capture_output=True, text=True, timeout=5
            ).stdout
        except (OSError, subprocess.TimeoutExpired):
            return ""


class ApartCluster(Cluster):
    """A cluster whose nodes, node1 and so on, and controller are test hosts with nothing between them but a network."""

    # SLURM is not to wait long for an answer of a node that is lost.
    SETTINGS = "SlurmdTimeout=60\nMessageTimeout=3\nTCPTimeout=2\n"

    def __init__(self, nodes: int, cpus: int = 8):
        super().__init__(nodes, cpus)
        self.nodes = [f"node{i}" for i in range(1, nodes + 1)]
        self._hosts = Hosts(nodes + 1)

    def _places(self):
        *nodes, controller = (
            (f"node{i}", address, 6818) for i, address in enumerate(self._hosts.addresses, 1)
        )
        return [controller, *nodes]

    def on(self, place, *words):
        return self._hosts.inside(place or len(self._hosts.addresses), *words)

    def __enter__(self):
        try:
            self._hosts.make()
        except BaseException:
            self._hosts.remove()
            raise
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._hosts.remove()

    def processes(self, name: str) -> list[int]:
        """The ids of all processes on a node."""
        return self._hosts.processes(1 + self.nodes.index(name))

    def lose(self, name: str) -> None:
        """A node falls silent, and nothing on it lives on: what a power failure is to the others."""
        self._hosts.cut(1 + self.nodes.index(name))
        self.kill_slurmd(name)
        for pid in self.processes(name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Job:
    """A job by its number, and the file with what it says ({} is the number)."""

    def __init__(self, cluster: Cluster, number: str, output: Path):
        self.cluster, self.number, self._output = cluster, number, output

    def facts(self) -> dict[str, str]:
        """What scontrol shows of it: JobState, Restarts, ExitCode, NodeList and so on."""
        return dict(
            re.findall(
                r"(\S+?)=(\S*)", self.cluster.run("scontrol", "-o", "show", "job", self.number)
            )
        )

    def output(self) -> str:
        return self._output.read_text() if self._output.exists() else ""

    def said(self) -> str:
        """The lines of train.sbatch itself."""
        return "\n".join(
            line for line in self.output().splitlines() if line.startswith("train.sbatch: ")
        )

    def until(self, condition, what: str, seconds: float = 60.0):
        try:
            return self.cluster.until(condition, what, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.facts()}; it said:\n{self.output()}") from None

    def ends(self, state: str, status: str = "0:0", seconds: float = 60.0) -> dict[str, str]:
        """Waits for its end for good, which must be this state and exit status (status:signal); returns its facts."""

        def ended():
            facts = self.facts()
            return facts if facts["JobState"] in ENDED else None

        facts = self.until(ended, f"end of job {self.number}", seconds)
        found = facts["JobState"], facts["ExitCode"]
        assert found == (state, status), (
            f"ended as {found}, but expected {(state, status)}; it said:\n{self.output()}"
        )
        return facts

    def until_waiting(self, restarts: int) -> None:
        """Returns once it is back in the queue, put there so many times by now."""

        def back():
            facts = self.facts()
            return facts["JobState"] == "PENDING" and facts["Restarts"] == str(restarts)

        self.until(back, f"requeue {restarts} of job {self.number}")

    def warn(self) -> None:
        """What SLURM does when the time is nearly up: USR1 to the batch shell alone."""
        self.cluster.run("scancel", "--signal=USR1", "--batch", self.number)

    def processes(self) -> dict[int, tuple[dict, list]]:
        """{process id: (environment, command line)} of all that it has started."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*/environ"):
            try:
                env = dict(
                    item.split("=", 1)
                    for item in entry.read_text(errors="replace").split("\0")
                    if "=" in item
                )
                words = (entry.parent / "cmdline").read_text().split("\0")
            except OSError:
                continue  # ended in the meantime
            if (
                env.get("SLURM_JOB_ID") == self.number
                and env.get("SLURM_CONF") == self.cluster.env["SLURM_CONF"]
            ):
                found[int(entry.parent.name)] = env, words
        return found

    def ranks(self) -> dict[int, int]:
        """{rank: process id} of the ranks that run."""
        found = {}
        for pid, (env, words) in self.processes().items():
            rank = next((env[name] for name in ("PMIX_RANK", "PMI_RANK") if name in env), None)
            if rank is not None and "train" in words and "python" in Path(words[0]).name:
                found[int(rank)] = pid
        return found


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _die_with_parent():
    """So that nothing is left where the tests themselves are killed."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
