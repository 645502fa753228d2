"""Writes a set whose noise grows with x, and that has a gap: y = sin 2x + noise of deviation 0.05 + 0.1 (x + 2).

python examples/noise.py noise.h5
"""

import sys

import h5py
import numpy as np

with h5py.File(sys.argv[1], "w") as file:
    for group, rows, seed in (("train", 4000, 1), ("test", 2000, 2)):
        r = np.random.default_rng(seed)
        x = r.uniform(-2, 2, 2 * rows)
        x = x[abs(x) > 0.4][:rows, None]  # nobody has measured around 0
        file[f"{group}/x"] = x
        file[f"{group}/y"] = np.sin(2 * x[:, 0]) + r.normal(0, 0.05 + 0.1 * (x[:, 0] + 2))
print(f"{sys.argv[1]}: 4000 rows in /train, 2000 in /test")
