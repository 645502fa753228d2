"""Handwritten digits from Python: a network that is trained, loaded and asked, and the digits that it is most wrong about.

python examples/digits.py
mpirun -n 2 python examples/digits.py         the same bits, from two ranks
"""

from pathlib import Path

import h5py
import numpy as np

import distmlp

SET = Path(__file__).resolve().parent.parent / "datasets" / "digits.h5"
RUN = "runs/digits-from-python"

result = distmlp.train(
    {
        "network": {
            "layers": [64, 64, 10],  # 8 x 8 pixels in, ten digits out
            "activation": "relu",
            "output": "softmax",
            "cost": "cross-entropy",
            "initializer": "he-normal",
        },
        "data": {"train": f"{SET}:/train", "validation": f"{SET}:/test", "scale": "1/16"},
        "training": {"batch_size": 32, "epochs": 30},
        "optimizer": {"name": "adam", "learning_rate": 0.002},
        "run": {"directory": RUN, "checkpoint_every": "10 epochs"},
    }
)
assert result.record is not None

network = distmlp.load(RUN)  # the best epoch's
with h5py.File(SET) as file:
    x, y = file["test/x"][...], file["test/y"][...]
p = network.predict_proba(x)
wrong = np.flatnonzero(p.argmax(axis=1) != y)
worst = wrong[np.argsort(p[wrong, y[wrong]])[:3]]

if result.record["ranks"] == 1:  # of several, each would print
    print(f"{len(y) - len(wrong)} of {len(y)} digits are right")
    for i in worst:
        print(f"row {i}: a {y[i]}, taken for a {p[i].argmax()} with probability {p[i].max():.2f}")
print(f"v sha256 {result.v_sha256}")
