"""telling.py: what is said before the first step."""

from types import SimpleNamespace

import pytest
from example import tables

from distmlp.config.reading import from_tables
from distmlp.training.reporting import Silent
from distmlp.training.telling import tell


class Noted(Silent):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.mark.parametrize(
    "frozen, taken_over, said", [([1], 0, "1"), ([1, 2], 1, "2"), ([1], 1, None), ([], 0, None)]
)
def test_a_frozen_layer_that_nobody_has_trained_is_told(frozen, taken_over, said):
    config = from_tables(tables({"network.layers": [20, 9, 7, 5], "training.frozen": frozen}))
    start = SimpleNamespace(layers=taken_over, doubts=lambda data: []) if taken_over else None
    data, report = SimpleNamespace(notes=list, weights=None), Noted()
    tell(report, config, data, None, start, [])
    expected = [] if said is None else [f"training.frozen keeps layer {said} as drawn at random"]
    assert [words.partition(";")[0] for words in report.notes] == expected
