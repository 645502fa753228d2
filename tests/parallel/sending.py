"""Adds up so many numbers again and again, and prints what each host's network interface has sent meanwhile.

python sending.py NUMBERS TIMES, on ranks of several test hosts; rank 0 prints {host: bytes} as JSON.
"""

import json
import sys
from pathlib import Path

import numpy as np

from distmlp.parallel import launchers


def sent() -> int:
    """The bytes that this rank's host has sent."""
    for line in Path("/proc/self/net/dev").read_text().splitlines():
        name, _, counted = line.partition(":")
        if name.strip() == "e0":
            return int(counted.split()[8])
    raise RuntimeError("this host has no interface e0")


def main() -> None:
    numbers, times = map(int, sys.argv[1:])
    comm = launchers.world()
    if comm.missed:
        print(f"lost {comm.missed} of the ranks that were started", file=sys.stderr)
        sys.exit(comm.leave(1))
    addends = comm.addends(numbers, np.int32)
    comm.add_up(addends)  # connects those who will talk
    comm.barrier()
    before = sent()
    for again in range(times):
        addends.mine[:] = again + comm.rank
        comm.add_up(addends)
        assert np.all(addends.total == comm.size * again + comm.size * (comm.size - 1) // 2)
    comm.barrier()
    found = comm.gather((comm.hosts[comm.rank], sent() - before))
    if found is not None:
        print(json.dumps(dict(found)))
    sys.exit(comm.leave(0))


if __name__ == "__main__":
    main()
