"""Writes digits.h5 beside this script: the optical digits of UCI that scikit-learn packages.

    python datasets/make_digits.py

1797 images of 8 × 8 pixels, each pixel the number of black dots in a field of 4 × 4, 0 to 16, in
ten classes.  They are the test part of:

    E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository, 1998, https://doi.org/10.24432/C50P49.  CC BY 4.0.

The split is by plain arithmetic, and keeps the classes in proportion: of each class, in the order of
the source, the images 4, 9, 14, … (counted from 0) are /test, 355 in all, and the others /train, 1442.
The order within both is the source's.  A writer's digits can be in both parts.

The same versions of h5py and HDF5 write the same bytes again.
"""

from pathlib import Path

import h5py
import numpy as np

CITATION = (
    'E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998, '
    "https://doi.org/10.24432/C50P49"
)
LICENCE = "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/"
CHUNK_ROWS = 64


def is_test(y: np.ndarray) -> np.ndarray:
    """Which rows of the classes y (n,) are the test set, (n,): every fifth of each class."""
    chosen = np.zeros(len(y), bool)
    for c in np.unique(y):
        chosen[np.flatnonzero(y == c)[4::5]] = True
    return chosen


def write(out: Path) -> None:
    """Writes /train and /test, each x (n, 64) uint8 in 0 to 16 and y (n,) uint8 in 0 to 9.  Needs scikit-learn."""
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    x, y = images.astype(np.uint8), classes.astype(np.uint8)
    test = is_test(y)
    with h5py.File(out, "w") as file:
        file.attrs["source"] = CITATION
        file.attrs["licence"] = LICENCE
        for name, rows in (("train", ~test), ("test", test)):
            group = file.create_group(name)
            inputs = group.create_dataset(
                "x", data=x[rows], chunks=(CHUNK_ROWS, 64), track_times=False
            )
            inputs.attrs["sample_shape"] = (8, 8)
            group.create_dataset("y", data=y[rows], track_times=False)


if __name__ == "__main__":
    write(Path(__file__).with_name("digits.h5"))
