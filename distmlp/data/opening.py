"""Opening a set: its file, its group and the datasets in it, each fault said in a sentence."""

import errno
import importlib
import importlib.util
import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np

from distmlp.errors import InputError

#: Bytes of chunks that are kept decompressed: of every dataset, the least of each of many files, and the most of one whose
#: rows lie in many chunks.
_CACHE, _LEAST_CACHE, _MOST_CACHE = 16 * 2**20, 2**20, 2**30


class NoDataset(InputError):
    """A group has no dataset of a name that was asked for.  name: that one.  there: what it has instead."""

    def __init__(self, words: str, name: str = "", there: str = "") -> None:
        super().__init__(words)
        self.name, self.there = name, there


class Columns(Protocol):
    """What has the shape of a dataset."""

    @property
    def shape(self) -> tuple[int, ...]: ...


def parted(spec: str) -> tuple[Path, str]:
    """The file and the group of "FILE.h5:/group"; a file alone is its root.  Raises InputError."""
    path, colon, group = spec.rpartition(":")
    if not colon or (not group.startswith("/") and Path(spec).is_file()):
        return Path(spec), "/"
    if not group.startswith("/"):
        raise InputError(f'{spec}: expected a file and a group in it, such as "digits.h5:/train"')
    return Path(path), group


def path_of(spec: str) -> Path:
    """The file of "FILE.h5:/group", also of what names no group."""
    return Path(spec.rpartition(":/")[0] or spec)


def place_of(spec: str, names: str | Sequence[str]) -> str:
    """A dataset of a set, or several, as people name them: "FILE.h5:/group/x"."""
    path, group = parted(spec)
    names = [names] if isinstance(names, str) else names
    # posixpath keeps two slashes at the beginning
    places = ["/" + posixpath.normpath(posixpath.join(group, n)).lstrip("/") for n in names]
    return f"{path}:{', '.join(places)}"


def opened(path: Path, spec: str, files: int = 1) -> h5py.File:
    """The file, open for reading.  files: how many a set has, which share the memory.  Raises InputError."""
    try:
        there, other = path.exists(), not path.is_dir() and not path.is_file()
    except (
        OSError,
        ValueError,
    ) as error:  # a directory that may not be searched, a name that can be no file's
        raise InputError(f"{spec}: cannot be opened: {error}") from None
    if not there:
        raise InputError(f"{spec}: no such file: {path}")
    if other:
        raise InputError(f"{spec}: cannot be opened: it is not a regular file")
    try:
        # A reader needs no lock, and some network file systems have none to give.  The chunk cache
        # holds the chunk that a window ends in until the next window begins in it.
        return h5py.File(path, "r", locking=False, rdcc_nbytes=max(_CACHE // files, _LEAST_CACHE))
    except OSError as error:
        if path.is_dir():
            reason = "it is a directory"
        elif not h5py.is_hdf5(path):
            reason = (
                "it is not an HDF5 file (distmlp convert makes one from IDX, CSV, .npy and .npz)"
            )
        elif "h5clear" in str(error):
            reason = (
                "a program has it open for writing, or ended before it had closed it; if none has, "
                f"h5clear -s {path} says so to HDF5"
            )
        elif error.errno == errno.EMFILE or "Too many open files" in str(error):
            reason = "this process may open no more files: ulimit -n allows more, and distmlp convert makes one file of many"
        else:
            reason = f"it may be cut short or damaged: {error}"
        raise InputError(f"{spec}: cannot be opened: {reason}") from None


def group_in(file: h5py.File, spec: str, group: str) -> h5py.Group:
    """The group of that name.  Raises InputError."""
    try:
        holder = file[group]
    except KeyError:
        raise InputError(
            f"{spec}: the file has no group {group}; it has {_listed(file)}{_instead(file, group)}"
        ) from None
    if not isinstance(holder, h5py.Group):
        raise InputError(
            f"{spec}: {group} is a dataset, but expected a group that holds the inputs and targets"
        )
    return holder


def dataset_in(file: h5py.File, spec: str, group: str, name: str) -> h5py.Dataset:
    """The dataset of that name in a group, or, with a "/" before it, in the file.  Raises InputError."""
    holder = group_in(file, spec, group)
    if not _is(holder, name, h5py.Dataset):
        there, instead = _listed(holder), _instead(holder, name)
        words = f"the group has no dataset {name!r}; it has {there}{instead}"
        raise NoDataset(f"{spec}: {words}{_group_hint(holder, spec)}", name, there)
    found = holder[name]
    try:
        dtype = found.dtype
    except TypeError as error:
        raise InputError(
            f"{place_of(spec, name)} has a type that numpy has not ({error}), but expected real numbers"
        ) from None
    if dtype.subdtype is not None:
        raise InputError(
            f"{place_of(spec, name)}: each of its values is an array {dtype.subdtype[1]}, but expected numbers; "
            "store the array's axes as axes of the dataset, (samples, …)"
        )
    if not found.shape:
        raise InputError(f"{place_of(spec, name)} is one value, but expected rows, (samples, …)")
    check_filters(found, place_of(spec, name))
    del found, dtype
    return _cached(holder, name)


def _group_hint(holder: h5py.Group, spec: str) -> str:
    """What to do with a data frame, and which group might be meant where a spec names none."""
    if _is_frame(holder):
        return f"; it is a data frame of pandas: distmlp convert {spec} OUT.h5 --targets COLUMN writes it as a set"
    if ":/" in spec:
        return ""
    groups = sorted(name for name in holder if holder.get(name, getclass=True) is h5py.Group)
    return f'; expected a file and a group in it, such as "{spec}:/{groups[0]}"' if groups else ""


def is_frame(spec: str) -> bool:
    """Whether a group is a data frame that pandas wrote.  Raises InputError."""
    path, group = parted(spec)
    with opened(path, spec) as file:
        return _is_frame(group_in(file, spec, group))


def _is_frame(holder: h5py.Group) -> bool:
    return "axis0" in holder or ("pandas_type" in holder.attrs and "table" in holder)


def _is(holder: h5py.Group, name: str, kind: type) -> bool:
    try:
        return isinstance(holder[name], kind)
    except (KeyError, OSError, RuntimeError, ValueError):  # as h5py says that a link leads nowhere
        return False


def real(stored: h5py.Dataset, where: str) -> h5py.Dataset:
    """The dataset, which holds real numbers.  Raises InputError."""
    if stored.dtype.kind not in "iubf":
        raise InputError(
            f"{where} has the dtype {stored.dtype}{_meaning(stored.dtype)}, but expected real numbers"
        )
    return stored


def _meaning(dtype: np.dtype) -> str:
    """What people call a dtype whose name does not say it."""
    if h5py.check_string_dtype(dtype) is not None:
        return " (text)"
    if h5py.check_vlen_dtype(dtype) is not None:
        return " (rows of different lengths)"
    if h5py.check_ref_dtype(dtype) is not None:
        return " (references to other datasets)"
    if dtype.kind == "V" and not dtype.names:
        return " (bytes without a meaning)"
    return ""


def _instead(holder: h5py.Group, name: str) -> str:
    """What is there under a name where a dataset or a group was expected: a group, or a link that leads nowhere."""
    if _is(holder, name, h5py.Group):
        inside = holder[name]
        found = [f"{name}/{part}" for part in sorted(inside) if _is(inside, part, h5py.Dataset)]
        listed = ", ".join(f'"{part}"' for part in found[:3]) + ", …" * (len(found) > 3)
        return f"; {name} is a group" + (
            f", of whose datasets [{listed}] is a list" if found else ""
        )
    link = holder.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        return f"; {name} is a link to {link.path} of {link.filename}, which is not there"
    if isinstance(link, h5py.SoftLink):
        return f"; {name} is a link to {link.path}, which is not there"
    return ""


def check_filters(stored: h5py.Dataset, where: str) -> None:
    """Raises InputError where the dataset's chunks have a filter that is not installed."""
    plan = stored.id.get_create_plist()
    for i in range(plan.get_nfilters()):
        code, _, _, name = plan.get_filter(i)
        if h5py.h5z.filter_avail(code) or (_has_plugins() and h5py.h5z.filter_avail(code)):
            continue
        words = name.decode(errors="replace") or _FILTERS.get(code, "unknown")
        raise InputError(
            f"{where} is compressed with HDF5 filter {code} ({words}), which is not installed: "
            "pip install hdf5plugin, or write the file anew with gzip: h5repack -f GZIP=1 OLD NEW"
        )


#: Filters that files often have and HDF5 has not, by their registered numbers.
_FILTERS = {
    307: "bzip2",
    32000: "lzf",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstandard",
    32026: "blosc2",
}


def _has_plugins() -> bool:
    """Whether hdf5plugin is there, which brings filters when it is imported."""
    return importlib.util.find_spec("hdf5plugin") is not None and bool(
        importlib.import_module("hdf5plugin")
    )


def _cached(holder: h5py.Group, name: str) -> h5py.Dataset:
    """The dataset, with memory for all chunks that one row lies in, so that none is decompressed for each block of rows."""
    stored = holder[name]
    if not stored.chunks or stored.chunks[1:] == stored.shape[1:] or not stored.size:
        return stored
    needed = _chunks_of_a_row(stored)
    if not _CACHE < needed <= _MOST_CACHE:
        return stored
    across = needed // (int(np.prod(stored.chunks)) * stored.dtype.itemsize)
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_chunk_cache(100 * across + 1, needed, 0.75)
    del stored  # a dataset that is open keeps the memory that it has
    return h5py.Dataset(h5py.h5d.open(holder.id, name.encode(), access))


def is_across_chunks(stored: h5py.Dataset | None) -> bool:
    """Whether a row lies in so many chunks that there is no memory to keep them, so that each read decompresses them all."""
    if stored is None or not stored.chunks or stored.chunks[1:] == stored.shape[1:]:
        return False
    return (
        bool(stored.id.get_create_plist().get_nfilters()) and _chunks_of_a_row(stored) > _MOST_CACHE
    )


def _chunks_of_a_row(stored: h5py.Dataset) -> int:
    """Bytes of all the chunks that one row lies in."""
    across = [-(-n // c) for n, c in zip(stored.shape[1:], stored.chunks[1:], strict=True)]
    return int(np.prod(across)) * int(np.prod(stored.chunks)) * stored.dtype.itemsize


def check_shapes(
    spec: str,
    inputs: str | Sequence[str],
    x: Columns,
    targets: str | Sequence[str] | None,
    y: Columns | None,
) -> None:
    """Raises InputError where two datasets are no inputs and targets of the same samples."""
    shape = x.shape
    if not shape or int(np.prod(shape)) == 0:
        raise InputError(
            f"{place_of(spec, inputs)} has the shape {shape}: the set is empty, but expected (samples, inputs)"
        )
    if y is None or targets is None:
        return
    if len(y.shape) not in (1, 2):
        raise InputError(
            f"{place_of(spec, targets)} has the shape {y.shape}, but expected (samples,) classes or (samples, outputs) numbers"
        )
    if shape[0] != y.shape[0]:
        hint = ""
        if len(shape) == 2 and shape[1] in y.shape:
            hint = (
                "; the arrays look transposed, as MATLAB, Fortran and R write them: distmlp convert "
                f"{spec} OUT.h5 --inputs {inputs} --targets {targets} --transposed turns them"
            )
        raise InputError(
            f"{spec}: {inputs} has {shape[0]} rows, but {targets} has {y.shape[0]}; expected one target a sample{hint}"
        )


def _listed(group: h5py.Group) -> str:
    return ", ".join(sorted(map(str, group))) or "nothing"
