"""One SLURM for all tests of this directory, and the run that was never interrupted, to compare with."""

import example
import pytest
from cluster import PMIX, PMIX_LINK, Cluster, missing
from launching import ROOT, distmlp
from sites import CHANGES, LONGEST, Site


@pytest.fixture(scope="session")
def cluster():
    reason = missing()
    if reason:
        pytest.skip(reason)
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def pmix():
    """srun --mpi=pmix can be used."""
    if not PMIX.exists():
        pytest.skip(f"SLURM finds no PMIx library here; as root: {PMIX_LINK}")


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory):
    """{epoch: v_sha256} of one process that nobody disturbs."""
    place = tmp_path_factory.mktemp("uninterrupted")
    example.write_set(place / "set.h5")
    example.write_config(place / "config.toml", {**CHANGES, "training.epochs": LONGEST})
    done = distmlp("train", place / "config.toml", timeout=120)
    assert done.status == 0, done.err
    found = {record["epoch"]: record["v_sha256"] for record in example.log(place / "run")}
    assert len(set(found.values())) == LONGEST
    return found


@pytest.fixture
def site(cluster, tmp_path):
    yield Site(cluster, tmp_path)
    # Of a test that failed, something may be left in the queue.
    cluster.run("scancel", "-Q", "-u", "root")


@pytest.fixture
def train_sbatch():
    return ROOT / "slurm" / "train.sbatch"


@pytest.fixture
def sweep_sbatch():
    return ROOT / "slurm" / "sweep.sbatch"
