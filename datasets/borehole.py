"""Writes a regression set of any size: the borehole function, a surrogate that is cheap and smooth.

    python datasets/borehole.py borehole.h5 --samples 1000000 --seed 1

The flow of water through a borehole, in m³/yr, between two aquifers (W. V. Harper, S. K. Gupta,
"Sensitivity/uncertainty analysis of a borehole scenario comparing Latin hypercube sampling and
deterministic sensitivity approaches", BMI/ONWI-516, Battelle, 1983; M. D. Morris, T. J. Mitchell,
D. Ylvisaker, "Bayesian design and analysis of computer experiments: use of derivatives in surface
prediction", Technometrics 35 (3), 243-255, 1993):

    f = 2 pi Tu (Hu - Hl) / (ln(r/rw) (1 + 2 L Tu / (ln(r/rw) rw² Kw) + Tu/Tl))

    column of x                              from       to   unit
    0  rw radius of the borehole             0.05     0.15   m
    1  r  radius of influence                 100   50 000   m
    2  Tu transmissivity, upper aquifer    63 070  115 600   m²/yr
    3  Hu head, upper aquifer                 990    1 110   m
    4  Tl transmissivity, lower aquifer      63.1      116   m²/yr
    5  Hl head, lower aquifer                 700      820   m
    6  L  length of the borehole            1 120    1 680   m
    7  Kw hydraulic conductivity            9 855   12 045   m/yr

x (n, 8) is uniform in [0, 1]: 0 is "from", 1 is "to".  y (n, 1) is (f - MEAN) / DEVIATION, where

    MEAN      = 77.6513165 m³/yr
    DEVIATION = 45.5952681 m³/yr

are those of f over these ranges, by Gauss-Legendre quadrature; so y has the mean 0 and the variance 1.
It lies between -1.54 and 5.09.

/train and /test are two streams.  A row is a function of (seed, group, row index) alone: each draws
from two counters of its own of Philox (J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC 2011), so a set with more samples begins with the rows of one with fewer.  y is computed in float64
from the x that is stored; its last bits can differ between two machines' logarithms.
"""

import argparse
import os
from pathlib import Path

import h5py
import numpy as np

LOW = np.array([0.05, 100.0, 63070.0, 990.0, 63.1, 700.0, 1120.0, 9855.0])
HIGH = np.array([0.15, 50000.0, 115600.0, 1110.0, 116.0, 820.0, 1680.0, 12045.0])
MEAN = 77.6513165
DEVIATION = 45.5952681

STREAMS = {"train": 0, "test": 1}
BLOCK_ROWS = 2**16


def flow(rw, r, Tu, Hu, Tl, Hl, L, Kw):
    """The flow through the borehole, m³/yr; each argument in the unit of the table above, of any one shape."""
    ln = np.log(r / rw)
    return 2 * np.pi * Tu * (Hu - Hl) / (ln * (1 + 2 * L * Tu / (ln * rw**2 * Kw) + Tu / Tl))


def rows(
    seed: int, group: str, start: int, stop: int, dtype="float32"
) -> tuple[np.ndarray, np.ndarray]:
    """Rows start to stop - 1 of "train" or "test": x (stop - start, 8) and y (stop - start, 1)."""
    # Philox makes four numbers of a counter, and a row takes eight.
    generator = np.random.Generator(np.random.Philox(key=[seed, STREAMS[group]], counter=2 * start))
    x = generator.random((stop - start, 8)).astype(dtype)
    y = (flow(*(LOW + (HIGH - LOW) * x.astype(np.float64)).T) - MEAN) / DEVIATION
    return x, y.astype(dtype)[:, None]


def write(
    out: Path,
    samples: int,
    seed: int,
    test_samples: int = 10000,
    chunk_rows: int = 8192,
    compression: str = "none",
    dtype: str = "float32",
) -> None:
    """Writes /train with so many samples and /test, replacing out once the file is whole.

    Memory is bounded by a chunk or 65536 rows, whichever is more.  Raises OSError.
    """
    filters = {"compression": "gzip", "shuffle": True} if compression == "gzip" else {}
    temporary = out.with_name(f"{out.name}.{os.getpid()}.writing")
    try:
        with h5py.File(temporary, "w") as file:
            file.attrs["source"] = (
                "borehole function: Harper and Gupta 1983; Morris, Mitchell and Ylvisaker 1993"
            )
            file.attrs["seed"] = seed
            for group, count in (("train", samples), ("test", test_samples)):
                chunk = min(chunk_rows, count)
                x = file.create_dataset(
                    f"{group}/x", (count, 8), dtype, chunks=(chunk, 8), track_times=False, **filters
                )
                y = file.create_dataset(
                    f"{group}/y", (count, 1), dtype, chunks=(chunk, 1), track_times=False, **filters
                )
                step = chunk * max(1, BLOCK_ROWS // chunk)
                for start in range(0, count, step):
                    stop = min(start + step, count)
                    x[start:stop], y[start:stop] = rows(seed, group, start, stop, dtype)
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> None:
    """Writes the file that the command line asks for."""

    def count(text: str) -> int:
        if int(text) < 1:
            raise argparse.ArgumentTypeError(f"{text} is given, but expected at least 1")
        return int(text)

    def word(text: str) -> int:
        if not 0 <= int(text) < 2**64:
            raise argparse.ArgumentTypeError(f"{text} is given, but expected 0 to 2**64 - 1")
        return int(text)

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "out", metavar="OUT.h5", type=Path, help="the file to write; one that exists is replaced"
    )
    parser.add_argument(
        "--samples",
        metavar="N",
        type=count,
        required=True,
        help="rows of /train; any number, made in bounded memory",
    )
    parser.add_argument(
        "--test-samples",
        metavar="N",
        type=count,
        default=10000,
        help="rows of /test; 10000 by default",
    )
    parser.add_argument(
        "--seed", metavar="S", type=word, required=True, help="which rows are drawn: 0 to 2**64 - 1"
    )
    parser.add_argument(
        "--chunk-rows",
        metavar="R",
        type=count,
        default=8192,
        help="rows of a chunk; 8192 by default, 256 KiB of float32",
    )
    parser.add_argument(
        "--compression", choices=("none", "gzip"), default="none", help="none by default"
    )
    parser.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32", help="float32 by default"
    )
    write(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
