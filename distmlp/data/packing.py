"""What attributes say of stored numbers, by the CF conventions of NetCDF: packed ones, and missing ones.

x · scale_factor + add_offset is the number; _FillValue, missing_value and what lies outside of valid_range, valid_min
and valid_max is missing.
"""

from dataclasses import dataclass

import h5py
import numpy as np

#: What NetCDF-4 fills variables of floats with that have no _FillValue of their own.
_NETCDF_FILL = 9.969209968386869e36


@dataclass(frozen=True)
class Packing:
    """How stored numbers become float64.  missing: the stored numbers that stand for no value; low, high: the valid ones."""

    factor: float = 1.0
    offset: float = 0.0
    missing: tuple[float, ...] = ()
    low: float = -np.inf
    high: float = np.inf

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing to do."""
        return self == Packing()

    def decoded(self, stored: np.ndarray) -> np.ndarray:
        """float64, NaN where a value is missing."""
        numbers = stored.astype(np.float64)
        gone = (
            np.isin(stored, np.array(self.missing).astype(stored.dtype)) if self.missing else None
        )
        outside = (numbers < self.low) | (numbers > self.high)
        numbers = numbers * self.factor + self.offset
        numbers[outside if gone is None else gone | outside] = np.nan
        return numbers

    def words(self) -> str:
        """What is done, for people."""
        parts = []
        if self.factor != 1 or self.offset != 0:
            parts.append(f"scale_factor {self.factor:g} and add_offset {self.offset:g} are applied")
        if self.missing:
            parts.append(f"{', '.join(f'{x:g}' for x in self.missing)} stands for no value")
        if np.isfinite(self.low) or np.isfinite(self.high):
            parts.append(f"numbers outside of {self.low:g} to {self.high:g} stand for no value")
        return "; ".join(parts)


def packing_of(stored: h5py.Dataset) -> Packing:
    """What a dataset's attributes say."""

    def numbers(name: str) -> list[float]:
        if name not in stored.attrs:
            return []
        value = np.asarray(stored.attrs[name]).ravel()
        return [float(x) for x in value] if value.dtype.kind in "iuf" else []

    def one(name: str, default: float) -> float:
        return (numbers(name) or [default])[0]

    missing = [*numbers("_FillValue"), *numbers("missing_value")]
    is_netcdf = "_NCProperties" in stored.file.attrs
    if not missing and is_netcdf and stored.dtype.kind == "f":
        missing = [float(stored.dtype.type(_NETCDF_FILL))]
    valid = numbers("valid_range")
    low, high = valid if len(valid) == 2 else (one("valid_min", -np.inf), one("valid_max", np.inf))
    found = tuple(dict.fromkeys(x for x in missing if not np.isnan(x)))
    return Packing(one("scale_factor", 1.0), one("add_offset", 0.0), found, low, high)
