"""Which hosts ranks are started on, and which of them answer."""

import socket

import pytest

from distmlp.cluster.hosts import Host, hosts_of, is_here, listed, reachable


@pytest.mark.parametrize(
    ("text", "ranks", "expected"),
    [
        ("", 4, ()),
        ("a:2,b:2", 4, (Host("a", 2), Host("b", 2))),
        ("a,b", 5, (Host("a", 3), Host("b", 3))),
        ("a,b:1,", 4, (Host("a", 2), Host("b", 1))),
    ],
)
def test_hosts_of_a_command_line(text, ranks, expected):
    assert hosts_of(text, ranks) == expected


def test_hosts_as_mpirun_takes_them():
    assert listed(hosts_of("a:2,b", 3)) == "a:2,b:2"


@pytest.fixture
def agent(tmp_path):
    """Reaches the host "up" at once, "slow" too late, and "down" never."""
    path = tmp_path / "agent"
    path.write_text(
        '#!/bin/sh\necho "$@" >> "$0.asked"\ncase $1 in up) exit 0 ;; slow) sleep 60 ;; esac\nexit 255\n'
    )
    path.chmod(0o755)
    return path


@pytest.mark.slow
def test_hosts_that_answer(agent):
    hosts = hosts_of("up:1,down:1,slow:1,localhost:1", 4)
    assert reachable(hosts, str(agent), seconds=1.0) == (Host("up", 1), Host("localhost", 1))
    asked = agent.with_name("agent.asked").read_text().splitlines()
    assert sorted(asked) == ["down true", "slow true", "up true"]  # this host need not be asked


@pytest.mark.parametrize("name", ["localhost", socket.gethostname(), "127.0.0.1"])
def test_this_host(name):
    assert is_here(name)


@pytest.mark.parametrize("name", ["192.0.2.1", "no-such-host.invalid"])
def test_hosts_elsewhere(name):
    assert not is_here(name)
