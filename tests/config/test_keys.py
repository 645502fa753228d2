"""keys.py: what each kind of key accepts, at the edges, and what the accepted values mean."""

import math
import sys
from dataclasses import dataclass, fields

import pytest

from distmlp.config import keys


@dataclass(frozen=True)
class Section:
    choice: str = keys.choice("a", "a", "b")
    count: int = keys.count(3)
    from_zero: int = keys.count(0, least=0, free=True)
    number: float = keys.number(1.0)
    positive: float = keys.number(None, "a number above 0", lambda x: x > 0)
    text: str = keys.text("x", "a name")
    optional: str = keys.text("", "a name or nothing")
    flag: bool = keys.flag(False)
    size: str = keys.size("1 MB")
    duration: str = keys.duration("")
    interval: str = keys.interval("1 epoch")


KEYS = {f.name: f for f in fields(Section)}
ACCEPTED = {
    "choice": ["a", "b"],
    "count": [1, 2**62],
    "from_zero": [0],
    "number": [-1, 2.5, sys.float_info.max, 0],
    "positive": [5e-324, 1],
    "text": ["x", " "],
    "optional": ["", "x"],
    "flag": [True, False],
    "size": ["256 MB", "0.5 kB", "4611686018427387904e-9 GB", "1 GiB"],
    "duration": ["", "90 seconds", "1.5 hours", "1 minute"],
    "interval": ["3 epochs", "1 step", "0.5 minutes", "2e1 steps"],
}
REFUSED = {
    "choice": ["", "A", 1, None, True],
    "count": [0, 2**62 + 1, 1.0, "3", True],
    "from_zero": [-1, False],
    "number": [math.nan, math.inf, -math.inf, 10**400, "1", True],
    "positive": [0, -1.0, math.nan],
    "text": ["", 1, None],
    "optional": [0, ["x"]],
    "flag": [0, 1, "true"],
    "size": ["", "256", "MB", "256MB", "0 MB", "-1 MB", "nan MB", "inf MB", "1 TB", "5e9 GiB", 256],
    "duration": ["0 seconds", "-1 minutes", "90", "1 day", "inf hours", "nan hours", 90],
    "interval": ["", "0 epochs", "0.5 epochs", "1.5 steps", "2 hours", "-1 steps", 1],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name in KEYS for value in ACCEPTED[name]]
)
def test_accepted(name, value):
    assert keys.accepts(KEYS[name], value)


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name in KEYS for value in REFUSED[name]]
)
def test_refused(name, value):
    assert not keys.accepts(KEYS[name], value)


def test_a_key_says_what_it_expects_and_whether_v_is_free_of_it():
    assert keys.expected(KEYS["choice"]) == "one of a, b"
    assert keys.expected(KEYS["positive"]) == "a number above 0"
    assert "at least 1" in keys.expected(KEYS["count"])
    assert [name for name, f in KEYS.items() if keys.is_free(f)] == ["from_zero"]


@pytest.mark.parametrize(
    ("text", "number"), [("1 kB", 1000), ("0.5 KiB", 512), ("3 MB", 3 * 10**6), ("2 GiB", 2**31)]
)
def test_bytes(text, number):
    assert keys.bytes_of(text) == number


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", math.inf), ("90 seconds", 90), ("1.5 minutes", 90), ("2 hours", 7200)],
)
def test_seconds(text, seconds):
    assert keys.seconds_of(text) == seconds


@pytest.mark.parametrize(
    ("text", "pair"),
    [("3 epochs", (3, "epoch")), ("1 step", (1, "step")), ("0.5 minutes", (0.5, "minute"))],
)
def test_intervals(text, pair):
    assert keys.interval_of(text) == pair
