"""What ranks print is passed on as it comes, but for what Open MPI says to nobody."""

import io
import os

import pytest

from distmlp.cluster.relaying import relay, without_noise


@pytest.mark.parametrize(
    ("chunks", "passed_on"),
    [
        ([b"a\nb\n"], [b"a\n", b"b\n"]),
        ([b"a", b"b\nc"], [b"ab\n", b"c"]),
        ([b"NBC_Progress: x\na\n[warn] Epoll MOD\n \n"], [b"a\n"]),
        # a progress bar, which never ends its line
        ([b"\r10 %", b"\r20 %", b"\rdone\nend\n"], [b"\r10 %", b"\r20 %", b"\rdone\n", b"end\n"]),
        ([], []),
    ],
)
def test_without_noise(chunks, passed_on):
    assert list(without_noise(iter(chunks))) == passed_on


def through(out):
    reading, writing = os.pipe()
    with open(reading, "rb") as pipe:
        thread = relay(pipe, out)
        os.write(writing, b"one\ntwo\n")
        os.close(writing)
        thread.join(5)
        assert not thread.is_alive()


def test_a_pipe_is_passed_on_to_its_end():
    out = io.BytesIO()
    through(out)
    assert out.getvalue() == b"one\ntwo\n"


def test_where_nobody_listens_the_pipe_is_emptied_all_the_same():
    out = io.BytesIO()
    out.close()
    through(out)
