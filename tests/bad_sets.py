"""Cases of bad input: files that are not there or damaged, and rows that cannot be trained on."""

import os

import numpy as np
from bad_cases import bad_set, case, cut_short, damaged_chunk, numbers, put, write_text
from example import COLUMNS

# The files

case("missing file", ["no.h5:/train", "no such file"], {"data.train": "no.h5:/train"})
case("missing file", ["no.h5:/test", "no such file"], {"data.validation": "no.h5:/test"})
case(
    "missing group",
    ["set.h5:/trian", "no group /trian", "test, train"],
    {"data.train": "set.h5:/trian"},
)
case("missing group", ["/train/x is a dataset", "group"], {"data.train": "set.h5:/train/x"})
case("missing group", ["set.h5", "a file and a group"], {"data.train": "set.h5"})
case(
    "missing dataset",
    ["set.h5:/train", "no dataset 'images'", "it has x, y", "data.inputs"],
    {"data.inputs": "images"},
)
case(
    "missing dataset",
    ["set.h5:/train", "no dataset 'labels'", "data.targets"],
    {"data.targets": "labels"},
)
case(
    "missing dataset",
    ["set.h5:/test", "no dataset 'images'", "data.validation_inputs", "--inputs"],
    {"data.validation_inputs": "images"},
)
case(
    "not an HDF5 file",
    ["text.h5:/train", "not an HDF5 file"],
    {"data.train": "text.h5:/train"},
    {"text.h5": write_text("1,2,3\n" * 999)},
)
case(
    "not an HDF5 file",
    ["empty.h5:/train", "not an HDF5 file"],
    {"data.train": "empty.h5:/train"},
    {"empty.h5": write_text("")},
)
case(
    "not an HDF5 file",
    ["directory.h5:/train", "directory"],
    {"data.train": "directory.h5:/train"},
    {"directory.h5": os.mkdir},
)
case(
    "truncated file",
    ["cut.h5:/train", "cut short"],
    {"data.train": "cut.h5:/train"},
    {"cut.h5": cut_short},
)

case(
    "damaged chunk",
    ["damaged.h5:/train", "rows", "cannot be read"],
    {"data.train": "damaged.h5:/train"},
    {"damaged.h5": damaged_chunk},
)

bad_set("different length", ["x has 199 rows", "y has 200"], x=lambda x: x[:199])
bad_set("empty set", ["empty"], x=lambda x: x[:0], y=lambda y: y[:0])
bad_set("empty set", ["empty"], x=lambda x: x[:, :0])
bad_set("no numbers", ["x has the dtype", "real numbers"], x=lambda x: x.astype(complex))
bad_set("no numbers", ["x has the dtype", "real numbers"], x=lambda x: x.astype("S3"))
bad_set("no numbers", ["y has the shape (200, 1, 1)"], y=lambda y: y.reshape(-1, 1, 1))

# The rows

bad_set("NaN or infinity", ["row 137", "inputs", "NaN"], x=put(137, np.nan, 3))
bad_set("NaN or infinity", ["row 0", "infinity"], x=put(0, -np.inf, 0))
bad_set(
    "NaN or infinity",
    ["row 5:"],
    x=lambda x: (put(5, np.inf, 0)(x), put(199, np.nan, 0)(x))[2:] or None,
)
bad_set("NaN or infinity", ["bad.h5:/test", "row 199"], x=put(199, np.nan, 19), group="test")
bad_set(
    "NaN or infinity",
    ["row 42", "targets"],
    y=numbers(put(42, np.nan, 1)),
    changes={"network.cost": "mse"},
)
bad_set(
    "NaN or infinity", ["row 7"], x=lambda x: [a := x.astype(np.float64), put(7, 1e300, 2)(a)][0]
)
bad_set("NaN or infinity", ["row"], changes={"data.scale": 1e300})

bad_set("class out of range", ["row 31", "0 … 4", "network.layers ending with 5"], y=put(31, 5))
bad_set("class out of range", ["row 199", "class"], y=put(199, -1))
bad_set(
    "class out of range",
    ["bad.h5:/test", "row 3: its class is 99;", "distmlp data"],
    y=put(3, 99),
    group="test",
)
bad_set(
    "class out of range",
    ["row 8: its class is -1, or no whole number;"],
    y=lambda y: [a := y.astype(np.float64), put(8, 0.5)(a)][0],
)
bad_set(
    "class out of range",
    ["0 … 1", "row"],
    changes={"network.layers": [COLUMNS, 1], "network.output": "sigmoid"},
)

bad_set(
    "target that the cost cannot take",
    ["row 12", "between 0 and 1", "cross-entropy"],
    y=numbers(put(12, -1.0, 2)),
    changes={"network.output": "sigmoid"},
)
bad_set(
    "target that the cost cannot take", ["row 13", "between 0 and 1"], y=numbers(put(13, 1.5, 2))
)
bad_set(
    "target that the cost cannot take",
    ["row 14", "add up to 1", "softmax"],
    y=numbers(put(14, 0.5, 2)),
)
