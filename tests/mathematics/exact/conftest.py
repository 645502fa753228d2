"""Steps of these tests run under what numpy is told in training."""

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _arithmetic_of_training():
    """The loop trains under these: a step on too fine a grid overflows on its way to being done again."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
        yield
