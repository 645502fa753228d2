"""Nodes that are lost, set down or drained, and ranks lost on them, in the middle of jobs that span two of three nodes.

One blow strikes jobs of several kinds at once.  Whatever becomes of them, they end with the bits of the run
that was left alone.
"""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from cluster import ApartCluster, Job, missing
from sites import LONGEST, Site
from testhosts import why_not

pytestmark = pytest.mark.timeout(180)

#: How a job of each kind is submitted: the MPI, how it is launched, and environment variables.
KINDS = {
    "ulfm": (
        "openmpi",
        "mpirun",
        {"DISTMLP_FT": "ulfm", "DISTMLP_DETECT": "5", "DISTMLP_PATIENCE": "2"},
    ),
    "mpirun": ("openmpi", "mpirun", {}),
    "pmix": ("openmpi", "srun --mpi=pmix", {}),
    "pmi2": ("mpich", "srun --mpi=pmi2", {"DISTMLP_PATIENCE": "2"}),
}


@pytest.fixture
def apart():
    """Three nodes for one test alone: SLURM may take minutes to have one back that had fallen silent."""
    reason = missing() or why_not()
    if reason:
        pytest.skip(reason)
    with ApartCluster(nodes=3) as cluster:
        yield cluster


@dataclass(frozen=True)
class Begun:
    """A job in the middle of its training on node1 and node2."""

    site: Site
    job: Job

    def kill_rank_on(self, node: str) -> None:
        here = self.site.cluster.processes(node)
        os.kill(next(pid for pid in self.job.ranks().values() if pid in here), signal.SIGKILL)

    def ends(self, requeued: bool, bits: str) -> dict[str, str]:
        """Its end, with these bits; requeued: once or, where what SLURM does to the lost node's step strikes the new start too, again."""
        facts = self.job.ends("COMPLETED")
        assert (facts["Restarts"] != "0") == requeued, self.job.output()
        assert self.site.v(LONGEST) == bits
        return facts


@pytest.fixture
def begun(apart, tmp_path, launcher, request):
    """begun(kind…): a job of each kind."""

    def submitted(kind: str, directory: Path) -> Begun:
        mpi, launch, environment = KINDS[kind]
        directory.mkdir(parents=True)
        site = Site(apart, directory)
        # The first kind must not be done when the last one has begun.
        site.configure({"training.epochs": LONGEST})
        job = site.submit(launcher(mpi), "--nodes", 2, "--launch", launch, ntasks=3, **environment)
        return Begun(site, job)

    def begin(*kinds: str) -> dict[str, Begun]:
        if "pmix" in kinds:
            request.getfixturevalue("pmix")
        started = {kind: submitted(kind, tmp_path / kind) for kind in kinds}
        for each in started.values():
            each.job.until(lambda each=each: each.site.step() > 0, "first checkpoint")
        return started

    return begin


def set_node(cluster, node: str, state: str) -> None:
    cluster.run("scontrol", "update", f"NodeName={node}", f"State={state}", "Reason=test")


@pytest.mark.parametrize("node", ["node1", "node2"])
def test_a_rank_is_killed_by_9(begun, uninterrupted, node):
    jobs = begun("ulfm", "mpirun", "pmi2")
    for each in jobs.values():
        each.kill_rank_on(node)
    jobs["ulfm"].ends(False, uninterrupted[LONGEST])
    assert f"on {node} (process " in jobs["ulfm"].job.output()
    for kind in ("mpirun", "pmi2"):
        jobs[kind].ends(True, uninterrupted[LONGEST])
        assert "requeued: it goes on as restart 1" in jobs[kind].job.said()


def test_a_node_is_set_down(apart, begun, uninterrupted):
    jobs = begun("ulfm", "mpirun", "pmi2")
    set_node(apart, "node2", "DOWN")
    for each in jobs.values():
        each.ends(True, uninterrupted[LONGEST])
        assert "DUE TO NODE FAILURE" in each.job.output()


def test_a_node_is_drained(apart, begun, uninterrupted):
    jobs = begun("ulfm", "mpirun", "pmix")
    set_node(apart, "node2", "DRAIN")
    jobs["mpirun"].job.warn()
    for kind in ("ulfm", "pmix"):
        jobs[kind].ends(False, uninterrupted[LONGEST])
    jobs["mpirun"].ends(True, uninterrupted[LONGEST])
    assert "restart 1 on node[1,3]" in jobs["mpirun"].job.said()


def test_a_slurmd_is_killed_by_9_and_its_node_set_down(apart, begun, uninterrupted):
    """SLURM sets it down by itself after SlurmdTimeout; until then the jobs do not notice."""
    jobs = begun("ulfm", "pmi2")
    apart.kill_slurmd("node2")
    for each in jobs.values():
        each.site.until_further(each.job)
    set_node(apart, "node2", "DOWN")
    for each in jobs.values():
        each.ends(True, uninterrupted[LONGEST])
        assert "restart 1 on node[1,3]" in each.job.said()


def test_a_node_falls_silent(apart, begun, uninterrupted):
    jobs = begun("ulfm", "mpirun")
    apart.lose("node2")
    ulfm = jobs["ulfm"].job
    ulfm.until(lambda: ": complete (" in ulfm.said(), "end")
    assert "on node2 (process " in ulfm.output()
    assert "mpirun has not within 2 s, so it is ended" in ulfm.said()
    set_node(apart, "node2", "DOWN")  # which SLURM itself does after SlurmdTimeout
    jobs["ulfm"].ends(False, uninterrupted[LONGEST])
    jobs["mpirun"].ends(True, uninterrupted[LONGEST])
    assert "restart 1 on node[1,3]" in jobs["mpirun"].job.said()


def test_the_first_node_falls_silent_and_is_set_down(apart, begun, uninterrupted):
    jobs = begun("ulfm", "mpirun")
    apart.lose("node1")
    set_node(apart, "node1", "DOWN")
    for each in jobs.values():
        each.ends(True, uninterrupted[LONGEST])
        assert "restart 1 on node[2-3]" in each.job.said()


def test_a_run_that_has_lost_a_node_is_told_to_stop(apart, begun, uninterrupted):
    """The time is nearly up: its mpirun, which waits for the lost node, must not use up what is left."""
    ulfm = begun("ulfm")["ulfm"]
    apart.lose("node2")
    ulfm.job.until(lambda: "distmlp: lost rank" in ulfm.job.output(), "loss")
    ulfm.job.warn()
    ulfm.job.until(lambda: "requeued: it goes on as restart 1" in ulfm.job.said(), "requeue")
    # SLURM itself sets it down after SlurmdTimeout.  A start in the second of the requeue would be taken for the old one.
    time.sleep(2)
    set_node(apart, "node2", "DOWN")
    ulfm.ends(True, uninterrupted[LONGEST])
    assert "Traceback" not in ulfm.job.output()
    assert "stopped after step" in ulfm.job.output()
