"""slices.py: every entry is added up by one rank, hosts send the least, up to 1,024 hosts of 64 ranks."""

import itertools

import pytest

from distmlp.parallel import slices

HOSTS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 16, 30, 64, 97]


def total_sent(hosts, n):
    """Entries that each host sends for one slice, as what every host of it adds up is followed through its stages."""
    sent = [0] * hosts
    for host in range(hosts):
        for stage in slices.stages(host, hosts, slice(0, n)):
            # on the way there what the peers add up, on the way back what this one has, to each of them
            there = sum(part.stop - part.start for part in stage.parts)
            sent[host] += there + len(stage.peers) * (stage.own.stop - stage.own.start)
    return sent


@pytest.mark.parametrize("hosts", HOSTS)
def test_each_entry_is_summed_over_all_hosts(hosts):
    """A simulated sum: each host has the number 2^host in every entry, and ends with the sum of all."""
    n = 1000
    total = [[1 << host] * n for host in range(hosts)]
    made = [slices.stages(host, hosts, slice(0, n)) for host in range(hosts)]
    for number in range(len(made[0])):
        before = [row[:] for row in total]
        for host in range(hosts):
            own = made[host][number].own
            for peer in made[host][number].peers:
                (part,) = [
                    part
                    for part, to in zip(
                        made[peer][number].parts, made[peer][number].peers, strict=True
                    )
                    if to == host
                ]
                assert part == own
                for entry in range(n)[own]:
                    total[host][entry] += before[peer][entry]
    for number in reversed(range(len(made[0]))):
        before = [row[:] for row in total]
        for host in range(hosts):
            stage = made[host][number]
            for part, peer in zip(stage.parts, stage.peers, strict=True):
                assert made[peer][number].own == part
                total[host][part] = before[peer][part]
    assert total == [[(1 << hosts) - 1] * n] * hosts


@pytest.mark.parametrize("hosts", [2, 3, 4, 8, 30, 64])
def test_hosts_send_the_least_that_a_sum_can(hosts):
    n = 10**6
    assert max(total_sent(hosts, n)) <= 1.02 * 2 * (hosts - 1) / hosts * n


@pytest.mark.parametrize("hosts", [2, 16, 128, 1000, 1024, 4096])
def test_messages_of_a_rank_grow_as_the_logarithm_of_the_hosts(hosts):
    stages = slices.stages(hosts - 1, hosts, slice(0, 10**6))
    assert sum(len(stage.peers) for stage in stages) <= 7 * hosts.bit_length()


@pytest.mark.slow
def test_a_cluster_of_65536_ranks():
    """1,024 hosts of 64 ranks, dealt in turn: every entry has one rank, in one place of every host."""
    ranks = slices.ranks_by_host([rank % 1024 for rank in range(65536)])
    assert len(ranks) == 1024 and all(len(here) == 64 for here in ranks)
    assert ranks[3][:3] == [3, 1027, 2051]
    n, owned = 3_000_000, 0
    for whole in slices.cut(slice(0, n), 64):
        for host in (0, 1, 511, 1023):
            assert slices.stages(host, 1024, whole)[-1].own.stop <= whole.stop
        owns = [slices.stages(host, 1024, whole)[-1].own for host in range(1024)]
        covered = sorted((own.start, own.stop) for own in owns if own.stop > own.start)
        assert covered[0][0] == whole.start and covered[-1][1] == whole.stop
        assert all(a[1] == b[0] for a, b in itertools.pairwise(covered))
        owned += whole.stop - whole.start
    assert owned == n


@pytest.mark.parametrize("n", [0, 1, 31, 32, 1000, 10**7])
@pytest.mark.parametrize("hosts", [1, 2, 3, 16])
def test_rounds_bound_a_message(hosts, n):
    most = 2**18
    parts = slices.rounds(slice(5, 5 + n), hosts, most)
    assert parts[0].start == 5 and parts[-1].stop == 5 + n
    for part in parts:
        for stage in slices.stages(0, hosts, part):
            assert all(p.stop - p.start <= most + slices.WHOLE for p in (*stage.parts, stage.own))
