"""IDX, the format of Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits".

Two zero bytes, a byte for the type, a byte for the number of dimensions, the dimensions as big-endian
32-bit integers, then the numbers, big-endian, the last dimension fastest.
"""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from distmlp.data.conversion import sources

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def array(path: Path) -> sources.Array:
    """The array in an IDX file, which may be compressed with gzip.  Raises ConversionError."""

    def header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
        magic = stream.read(4)
        if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES or magic[3] == 0:
            raise sources.ConversionError(
                f"{path}: begins with the bytes {magic.hex(' ') or 'of an empty file'}, but an IDX file begins with 00 00, a type "
                "(08, 09 or 0b to 0e) and the number of dimensions; other formats are told by .csv, .npy or .npz"
            )
        dimensions = stream.read(4 * magic[3])
        if len(dimensions) < 4 * magic[3]:
            raise sources.ConversionError(
                f"{path}: is cut short in its header of {magic[3]} dimensions; copy or download it again"
            )
        return struct.unpack(f">{magic[3]}I", dimensions), np.dtype(_DTYPES[magic[2]])

    def blocks(rows: int) -> Iterator[np.ndarray]:
        with sources.reading(path), sources.opened(path) as stream:
            yield from sources.stream_blocks(str(path), stream, *header(stream), rows)

    with sources.reading(path), sources.opened(path) as stream:
        return sources.Array(str(path), *header(stream), blocks)


def images_and_labels(paths: Sequence[Path], regression: bool) -> sources.SourceSet:
    """The set of two files, in either order: the labels are the one with one dimension.  Raises ConversionError."""
    arrays = sorted((array(path) for path in paths), key=lambda found: -len(found.shape))
    if [len(found.shape) == 1 for found in arrays] != [False, True]:
        shapes = " and ".join(f"{found.name} {found.shape}" for found in arrays)
        raise sources.ConversionError(
            f"cannot tell images from labels in {shapes}; expected one IDX file with one dimension, the labels, "
            "and one with more, the images"
        )
    images, labels = arrays
    return sources.paired(images, labels, regression)
