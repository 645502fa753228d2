"""How sure an ensemble is of its predictions, and whether it is right to be.

    python examples/coverage.py runs/noise noise.h5

Each network gives a mean and a variance.  The mean variance is the noise of the data.  The variance of the means is what
the networks do not know; it grows where nobody has measured.
"""

import sys
from pathlib import Path

import h5py
import numpy as np

import distmlp

members = sorted(path.parent for path in Path(sys.argv[1]).glob("*/config.toml"))
networks = [distmlp.load(member) for member in members]


def predicted(x):
    """The mean of each row, the deviation of its noise, and the deviation of what is not known."""
    a = np.array([network.outputs(x) for network in networks])  # (networks, rows, 2)
    means, variances = a[:, :, 0], np.exp(a[:, :, 1])
    return means.mean(axis=0), np.sqrt(variances.mean(axis=0)), means.std(axis=0, ddof=1)


with h5py.File(sys.argv[2]) as file:
    x, y = file["test/x"][...], file["test/y"][...]
mean, noise, unknown = predicted(x)
off = np.abs(y - mean) / np.sqrt(noise**2 + unknown**2)
for deviations, right in ((1, 68.3), (2, 95.4)):
    print(
        f"within {deviations} deviations: {100 * np.mean(off < deviations):.1f} % of the targets, {right} % if all is right"
    )

print("   x   noise  true noise  not known")
for at in (-1.5, -1.0, 0.0, 1.0, 1.5, 3.0):
    _, noise, unknown = predicted(np.array([[at]]))
    print(f"{at:4.1f}  {noise[0]:6.3f}  {0.05 + 0.1 * (at + 2):10.3f}  {unknown[0]:9.3f}")
