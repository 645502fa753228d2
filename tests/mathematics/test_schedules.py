"""Schedules: α of each epoch."""

import pytest

from distmlp.mathematics.schedules import learning_rate


def test_schedules():
    assert [learning_rate(0.8, "constant", 1.0, epoch, 4) for epoch in range(4)] == [0.8] * 4
    assert [learning_rate(0.8, "linear", 1.0, epoch, 4) for epoch in range(4)] == pytest.approx(
        [0.8, 0.6, 0.4, 0.2]
    )
    assert [
        learning_rate(0.8, "exponential", 0.5, epoch, 4) for epoch in range(4)
    ] == pytest.approx([0.8, 0.4, 0.2, 0.1])
    assert learning_rate(3.0, "exponential", 0.97, 40, 100) == pytest.approx(
        3.0 * 0.97**40, rel=1e-13
    )
