"""What mpirun is told: the command lines of each MPI, on one host and on several."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from distmlp.cluster import mpirun
from distmlp.cluster.hosts import hosts_of
from distmlp.cluster.mpirun import Mpirun
from distmlp.errors import InputError

OPEN_MPI = Mpirun("/bin/mpirun", 5, "/bin/python", 10.0)
PROGRAM = ["/bin/python", "-P", "-m", "distmlp", "train", "a.toml"]
ULFM = ["--with-ft", "ulfm", "--mca", "pml", "ob1"]
DETECTOR = [
    *("--mca", "mpi_ft_detector", "true", "--mca", "mpi_ft_detector_thread", "true"),
    *("--mca", "mpi_ft_detector_timeout", "10", "--mca", "mpi_ft_detector_period", "2"),
    *("--mca", "btl_tcp_eager_limit", "4194304", "--mca", "btl_tcp_rndv_eager_limit", "4194304"),
    *("--mca", "btl_tcp_max_send_size", "4194304"),
    *("--prtemca", "oob_tcp_keepalive_time", "0"),
]


def command(launcher, ranks, hosts=""):
    return launcher.command(ranks, hosts_of(hosts, ranks), ["train", "a.toml"])


@pytest.fixture(autouse=True)
def four_cores(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))


def test_open_mpi_on_one_host_goes_on_without_lost_ranks():
    assert command(OPEN_MPI, 4) == ["/bin/mpirun", *ULFM, "-n", "4", *PROGRAM]
    assert command(OPEN_MPI, 5) == ["/bin/mpirun", *ULFM, "--oversubscribe", "-n", "5", *PROGRAM]


def test_open_mpi_on_several_hosts_watches_them_and_deals_ranks_in_turn():
    options = [*ULFM, *DETECTOR, "-H", "a:2,b:2", "--map-by"]
    assert command(OPEN_MPI, 4, "a:2,b:2") == ["/bin/mpirun", *options, "node", "-n", "4", *PROGRAM]
    assert "node:OVERSUBSCRIBE" in command(OPEN_MPI, 5, "a:2,b:2")
    assert "slot" in command(OPEN_MPI, 5, "a:2,b:3")  # Open MPI cannot deal these in turn


def test_one_host_by_name_has_no_detector():
    found = command(OPEN_MPI, 2, "a")
    assert found[1:10] == [*ULFM, "-H", "a:2", "--map-by", "node"]


def test_an_open_mpi_without_fault_tolerance_is_not_asked_for_it():
    found = command(Mpirun("/bin/mpirun", 4, "/bin/python", 10.0), 4, "a:2,b:2")
    assert found == ["/bin/mpirun", "-H", "a:2,b:2", "--map-by", "node", "-n", "4", *PROGRAM]


def test_other_mpis():
    mpich = Mpirun("/bin/mpirun", 0, "/bin/python", 10.0)
    assert command(mpich, 9) == ["/bin/mpirun", "-n", "9", *PROGRAM]
    assert command(mpich, 4, "a:2,b:2")[1:3] == ["-hosts", "a:2,b:2"]


def test_an_agent_and_further_options():
    more = {"agent": "rsh", "more": ("--tag-output",)}
    found = command(Mpirun("/bin/mpirun", 5, "/bin/python", 10.0, **more), 2)
    assert found[6:11] == ["--prtemca", "plm_ssh_agent", "rsh", "--tag-output", "-n"]
    found = command(Mpirun("/bin/mpirun", 0, "/bin/python", 10.0, **more), 2)
    assert found[1:4] == ["-launcher-exec", "rsh", "--tag-output"]


@pytest.mark.parametrize(
    ("said", "version"),
    [("mpirun (Open MPI) 5.0.11", 5), ("mpirun (Open MPI) 4.1.4", 4), ("HYDRA build details:", 0)],
)
def test_the_mpirun_beside_a_python_comes_first(said, version, tmp_path):
    path = tmp_path / "mpirun"
    path.write_text(f"#!/bin/sh\necho '{said}'\n")
    path.chmod(0o755)
    assert mpirun.find(str(tmp_path / "python")) == (str(path), version)


def test_no_mpirun_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"no mpirun beside .+python nor on the path"):
        mpirun.find(str(tmp_path / "python"))


def test_the_distmlp_of_the_current_directory_is_started_only_where_it_is_this_one(
    tmp_path, monkeypatch
):
    """A checkout's sources are not compiled, so its kernels would run in numpy, hundreds of times slower."""
    (tmp_path / "distmlp").mkdir()
    (tmp_path / "distmlp" / "__init__.py").write_text("raise SystemExit('not the installed one')")
    words = mpirun.starting(sys.executable)
    done = subprocess.run([*words, "--version"], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("distmlp "), done
    monkeypatch.chdir(Path(mpirun.__file__).parents[2])
    assert "-P" not in mpirun.starting(sys.executable)
