"""What ranks must agree on, and have the memory for, before anything takes long."""

import os
from collections.abc import Mapping
from itertools import pairwise

from distmlp.config.comparing import flat
from distmlp.config.sections import Config
from distmlp.data import digest, opening
from distmlp.data.checking import facts_of
from distmlp.data.dataset import DataSet
from distmlp.errors import InputError
from distmlp.parallel.alike import check_same, on_every_rank
from distmlp.parallel.communicator import Communicator
from distmlp.training.parts import memory_of


def given(config: Config) -> dict[str, object]:
    """What every rank must be given alike; the names of files and directories may differ from host to host."""
    values = flat(config)
    values["data.validation"] = config.data.share or bool(config.data.validation)
    values["network.start_from"] = bool(config.network.start_from)
    for name in ("data.train", "run.directory", "run.stall_timeout"):
        values.pop(name)
    return values


def check_memory(config: Config) -> None:
    """InputError where this machine has not the memory for a network's v, its gradient and its optimizer's state."""
    parameters = sum((m + 1) * n for m, n in pairwise(config.network.layers))
    needed = memory_of(config, parameters)
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise InputError(
            f"network.layers is {list(config.network.layers)!s:.200}, which makes {parameters} parameters; training them takes "
            f"{needed / 2**30:.3g} GiB a rank, but this machine has {there / 2**30:.3g} GiB"
        )


def check_same_sets(comm: Communicator, sets: list[DataSet]) -> None:
    """InputError, on every rank, where a rank has opened different data, such as a stale copy on one host."""
    if comm.size == 1:
        return
    found = on_every_rank(comm, lambda: [(data.spec, facts_of(data)) for data in sets])
    for spec, facts in found:
        check_same_facts(comm, spec, facts)


def check_same_facts(comm: Communicator, spec: str, facts: Mapping[str, object]) -> None:
    """InputError where ranks have different `facts_of` a set; collective."""
    check_same(comm, facts, f"data ({spec})")


def copy_of(comm: Communicator, data: DataSet) -> list[int]:
    """The ranks that read the same files of a set as this one, ascending; collective.

    Files on a file system that hosts share have the same number, size and time everywhere; copies have not.
    """
    if comm.size == 1:
        return [0]
    mine = on_every_rank(comm, lambda: _identity(data))
    return [rank for rank, other in enumerate(comm.all_gather(mine)) if other == mine]


def _identity(data: DataSet) -> list[tuple[int, int, int]]:
    found = (os.stat(opening.parted(spec)[0]) for spec in data.files.specs)
    return [(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in found]


def check_same_rows(comm: Communicator, data: DataSet, digests: Mapping[int, int]) -> None:
    """InputError where copies of a set differ.  digests: of each copy's rows, by the first rank that reads it."""
    for rank, found in digests.items():
        if found != digests[0]:
            raise InputError(
                f"the ranks were not given the same data ({data.spec}): rank {rank} on {comm.hosts[rank]} has rows with the digest "
                f"{digest.text(found)}, but rank 0 on {comm.hosts[0]} has {digest.text(digests[0])}"
            )
