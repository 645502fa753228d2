"""Writes a set of solutions of the heat equation on a rod whose ends are kept at 0.

    python examples/heat.py heat.h5

    du/dt = k d²u/dx²  on 0 < x < 1,   u(0, t) = u(1, t) = 0,   u(x, 0) = c1 sin πx + c2 sin 2πx + c3 sin 3πx

    u(x, t) = Σ cn exp(-k (nπ)² t) sin nπx

x (n, 5): c1, c2, c3, k and t.  y (n, 32): u at 32 points inside.
"""

import sys

import h5py
import numpy as np

POINTS = 32
n = np.arange(1, 4)
modes = np.sin(np.pi * n[:, None] * np.linspace(0, 1, POINTS + 2)[1:-1])  # (3, POINTS)

with h5py.File(sys.argv[1], "w") as file:
    for group, rows, seed in (("train", 20000, 1), ("test", 2000, 2)):
        r = np.random.default_rng(seed)
        c = r.uniform(-1, 1, (rows, 3))
        k, t = r.uniform(0.01, 0.1, rows), r.uniform(0, 1, rows)
        decayed = c * np.exp(-np.outer(k * t, (np.pi * n) ** 2))
        file[f"{group}/x"] = np.column_stack([c, k, t])
        file[f"{group}/x"].attrs["columns"] = ["c1", "c2", "c3", "k", "t"]
        file[f"{group}/y"] = decayed @ modes
print(f"{sys.argv[1]}: 20000 rows in /train, 2000 in /test")
