"""Opening a set: its file, its group and the datasets in it, each fault said in a sentence."""

from pathlib import Path

import h5py

from distmlp.errors import InputError


def parted(spec: str) -> tuple[Path, str]:
    """The file and the group of "FILE.h5:/group".  Raises InputError."""
    path, colon, group = spec.rpartition(":")
    if not colon or not group.startswith("/"):
        raise InputError(f'{spec}: expected a file and a group in it, such as "digits.h5:/train"')
    return Path(path), group


def path_of(spec: str) -> Path:
    """The file of "FILE.h5:/group", also of what names no group."""
    return Path(spec.rpartition(":")[0] or spec)


def opened(path: Path, spec: str) -> h5py.File:
    """The file, open for reading.  Raises InputError."""
    try:
        if not path.exists():
            raise InputError(f"{spec}: no such file: {path}")
        if not path.is_dir() and not path.is_file():
            raise InputError(f"{spec}: cannot be opened: it is not a regular file")
    except (
        OSError,
        ValueError,
    ) as error:  # a directory that may not be searched, a name that can be no file's
        raise InputError(f"{spec}: cannot be opened: {error}") from None
    try:
        # A reader needs no lock, and some network file systems have none to give.  The chunk cache
        # holds the chunk that a window ends in until the next window begins in it.
        return h5py.File(path, "r", locking=False, rdcc_nbytes=16 * 2**20)
    except OSError as error:
        if path.is_dir():
            reason = "it is a directory"
        elif not h5py.is_hdf5(path):
            reason = (
                "it is not an HDF5 file (distmlp convert makes one from IDX, CSV, .npy and .npz)"
            )
        else:
            reason = f"it may be cut short or damaged: {error}"
        raise InputError(f"{spec}: cannot be opened: {reason}") from None


def dataset_in(file: h5py.File, spec: str, group: str, name: str) -> h5py.Dataset:
    """The dataset of that name in a group, which holds real numbers.  Raises InputError."""
    try:
        holder = file[group]
    except KeyError:
        raise InputError(f"{spec}: the file has no group {group}; it has {_listed(file)}") from None
    if not isinstance(holder, h5py.Group):
        raise InputError(
            f"{spec}: {group} is a dataset, but expected a group that holds the inputs and targets"
        )
    if name not in holder or not isinstance(holder[name], h5py.Dataset):
        raise InputError(
            f"{spec}: the group has no dataset {name!r}; it has {_listed(holder)} "
            "(data.inputs and data.targets name the datasets)"
        )
    found = holder[name]
    if found.dtype.kind not in "iubf":
        raise InputError(f"{spec}/{name} has the dtype {found.dtype}, but expected real numbers")
    return found


def check_shapes(
    spec: str, inputs: str, x: h5py.Dataset, targets: str | None, y: h5py.Dataset | None
) -> None:
    """Raises InputError where two datasets are no inputs and targets of the same samples."""
    if x.ndim == 0 or x.shape[0] == 0 or x.size == 0:
        raise InputError(
            f"{spec}/{inputs} has the shape {x.shape}: the set is empty, but expected (samples, inputs)"
        )
    if y is None:
        return
    if y.ndim not in (1, 2):
        raise InputError(
            f"{spec}/{targets} has the shape {y.shape}, but expected (samples,) classes or (samples, outputs) numbers"
        )
    if x.shape[0] != y.shape[0]:
        raise InputError(
            f"{spec}: {inputs} has {x.shape[0]} rows, but {targets} has {y.shape[0]}; expected one target a sample"
        )


def _listed(group: h5py.Group) -> str:
    return ", ".join(sorted(map(str, group))) or "nothing"
