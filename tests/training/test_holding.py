"""A set that is held in memory is there once a host, whatever the number of its ranks, to the same bits."""

import json

import pytest
from example import write_config, write_set_to_hold
from launching import run_ranks

from distmlp.training.holding import rows_of_part

#: Each rank's share of memory (Pss) before the last step: a page that several ranks have counts once over all of them.
PROGRAM = """
import json, os, sys
import distmlp
from distmlp.parallel import launchers
from distmlp.training.reporting import Report

if sys.argv[2] == "each its own":
    del os.memfd_create
last = 0

def look():
    global last
    with open("/proc/self/smaps_rollup") as file:
        (share,) = [line.split()[1] for line in file if line.startswith("Pss:")]
    last = int(share) * 1024
    return False

comm = launchers.world()
result = distmlp.train(sys.argv[1], comm, report=Report(bar=False), should_stop=look)
shares = comm.all_gather(last)
if comm.rank == 0:
    print(json.dumps([sum(shares), result.v_sha256]))
"""

ROWS, WIDTH = 20_000, 500
BYTES = ROWS * (WIDTH * 4 + 8)


@pytest.mark.parametrize("layout", ["contiguous", "gzip"])
def test_three_ranks_hold_a_set_once(layout, mpi, tmp_path):
    changes = write_set_to_hold(tmp_path / "set.h5", ROWS, WIDTH, layout)
    found = {}
    for name in ("shared", "each its own"):
        config = write_config(
            tmp_path / f"{name}.toml", {**changes, "training.epochs": 1, "run.directory": name}
        )
        done = run_ranks(mpi, 3, ["-c", PROGRAM, config, name], timeout=120)
        assert done.status == 0, done.err
        found[name] = json.loads(done.out.splitlines()[-1])
        said = [line for line in done.said if "each of them holds all of it" in line]
        assert len(said) == (name != "shared"), done.err
        held = "a host: 40.2 MB for data" if name == "shared" else "for the network, 40.2 MB"
        assert held in done.out
    (once, v), (thrice, same) = found.values()
    assert v == same
    # two sets less, but for what a step needs beside them
    assert thrice - once > 1.7 * BYTES


def test_each_part_has_whole_chunks():
    for rows, chunk_rows, expected in (
        (1009, 50, [range(350), range(350, 700), range(700, 1009)]),
        (100, 256, [range(100), range(100, 100), range(100, 100)]),
    ):
        assert [rows_of_part(rows, chunk_rows, 3, i) for i in range(3)] == expected
