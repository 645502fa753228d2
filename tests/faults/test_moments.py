"""Kills ranks at every moment of a step, under Open MPI's ULFM: the others go on, to the undisturbed run's bits."""

import json
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the helpers beside the other tests

from example import lawful, write_config, write_set
from launching import Running, distmlp, found_mpis

INJECT = Path(__file__).with_name("inject.py")
STEPS = ["computing", "before the sum", "inside the sum", "after the sum", "updated", "comparing", "evaluating", "inside the evaluation"]
WRITER = ["copying", "writing", "renaming"]
RECOVERY = ["revoked", "meeting", "furthest"]


def kill(rank, moment, **more):
    return {"rank": rank, "moment": moment, "do": "kill", **more}


# (ranks, the faults, how many ranks are left)
CASES = {
    **{f"{moment}, rank {rank} of 3": (3, [kill(rank, moment, step=12)], 2) for moment in STEPS for rank in (0, 1, 2)},
    **{f"{moment}, rank 0 of 2": (2, [kill(0, moment, step=12)], 1) for moment in ("inside the sum", "evaluating")},
    **{f"{moment}, ranks 0 and 2 of 4": (4, [kill(0, moment, step=12), kill(2, moment, step=12)], 2) for moment in ("inside the sum", "after the sum")},
    **{f"{moment}, the writer, rank 0 of 3": (3, [kill(0, moment, step=12)], 2) for moment in WRITER},
    **{f"{moment} in a recovery": (4, [kill(3, "inside the sum", step=12), kill(0, moment, recovery=1)], 2) for moment in RECOVERY},
    "one after another": (4, [kill(3, "inside the sum", step=8), kill(0, "before the sum", step=20), kill(1, "after the sum", step=30)], 1),
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    place = tmp_path_factory.mktemp("undisturbed")
    write_set(place / "set.h5")
    config = write_config(place / "config.toml", {"run.directory": "run"})
    assert distmlp("train", config, timeout=60).status == 0
    return lawful(place / "run")


@pytest.mark.parametrize("case", CASES)
def test_the_others_go_on_to_the_same_bits(case, undisturbed, tmp_path):
    mpi = found_mpis()["openmpi"]
    if isinstance(mpi, str):
        pytest.skip(mpi)
    ranks, faults, left = CASES[case]
    write_set(tmp_path / "set.h5")
    config = write_config(tmp_path / "config.toml", {"run.directory": "run", "run.checkpoint_every": "3 steps", "run.check_every": 4, "run.stall_timeout": "20 seconds"})
    (tmp_path / "plan.json").write_text(json.dumps({"faults": faults, "events": str(tmp_path / "events")}))
    words = ["--oversubscribe", "--with-ft", "ulfm", "--mca", "pml", "ob1", "-n", ranks, mpi.python, INJECT, tmp_path / "plan.json", "train", config]
    with tempfile.TemporaryDirectory(prefix="ranks-", ignore_cleanup_errors=True) as scratch:
        run = Running([mpi.bin / "mpirun", *words], None, tmp_path, Path(scratch))
        try:
            done = run.wait(60)
        finally:
            run.kill()
    assert done.status == 0, done.err
    assert lawful(tmp_path / "run") == undisturbed
    lost = [line for line in done.err.splitlines() if line.startswith("distmlp: lost ")]
    assert lost and f"; {left} go on from step " in lost[-1], done.err
    assert (tmp_path / "run" / "finished.json").exists()
