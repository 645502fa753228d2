"""What a process finds out about how it was started."""

import os

import pytest

from distmlp.errors import InputError
from distmlp.parallel import launchers


@pytest.fixture
def started_by(monkeypatch):
    """Sets what launchers leave in the environment, and nothing else of the kind."""
    launchers = ("OMPI_", "PMI_", "PMIX_", "MV2_", "PALS_", "SLURM_")
    for name in [name for name in os.environ if name.startswith(launchers)]:
        monkeypatch.delenv(name)
    return lambda **variables: [
        monkeypatch.setenv(name, str(value)) for name, value in variables.items()
    ]


def test_a_process_that_no_launcher_started_is_alone(started_by):
    started_by()
    assert launchers.world(training=True).size == 1


def test_a_batch_shell_may_do_everything_alone_but_train(started_by):
    started_by(SLURM_JOB_ID=1, SLURM_NTASKS=4, SLURM_PROCID=0)
    assert launchers.world().size == 1
    with pytest.raises(
        InputError,
        match="SLURM_NTASKS says 4 ranks, but this process was started alone: start it with mpirun -n 4",
    ):
        launchers.world(training=True)


def test_one_rank_on_purpose_is_no_error(started_by):
    started_by(
        SLURM_JOB_ID=1, SLURM_NTASKS=1, SLURM_STEP_NUM_TASKS=1
    )  # srun -n 1, in a job of any size
    assert launchers.world(training=True).size == 1
