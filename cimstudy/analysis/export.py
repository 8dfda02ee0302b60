"""Results as files that other tools read."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from cimstudy.analysis.tidy import tidy
from cimstudy.errors import InputError

EXTRA = "pip install 'cimstudy[analysis]'"


def export(ds: xr.Dataset, path: str | Path, names: str | Sequence[str] | None = None) -> Path:
    """Write results to a file: the whole dataset as .nc (NetCDF-4), or the rows of `tidy` as .csv or .parquet.

    names : of the metrics in rows; default: all that have one value a case. Returns the path.
    Raises InputError for another suffix, unknown metrics, and where the package that writes the file is not installed.
    """
    target = Path(path)
    if target.suffix not in WRITERS:
        raise InputError(f"cannot export to {str(path)!r}: allowed are names that end in {', '.join(WRITERS)}")
    if target.suffix == ".nc" and names:
        raise InputError("a NetCDF file holds all metrics; allowed with chosen ones: .csv, .parquet")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        WRITERS[target.suffix](ds, target, names)
    except ImportError as error:
        raise InputError(f"{target.suffix} needs {error.name or 'a package that is not installed'}: {EXTRA}") from None
    return target


def write_netcdf(ds: xr.Dataset, target: Path, _names: Any) -> None:
    """The dataset, its text and attributes in forms that NetCDF has."""
    import h5netcdf  # noqa: F401, PLC0415 - an extra; xarray's own message does not name it

    text = {name: variable.astype(object).compute() for name, variable in ds.variables.items() if is_text(variable)}
    plain = ds.assign({name: variable for name, variable in text.items() if name in ds.data_vars})
    plain = plain.assign_coords({name: variable for name, variable in text.items() if name in ds.coords})
    plain = plain.assign_attrs(storable(ds.attrs))
    for name in plain.variables:
        plain[name].attrs = storable(plain[name].attrs)
        plain[name].encoding = {}  # of the store that it came from
    plain.to_netcdf(target, engine="h5netcdf")


def write_csv(ds: xr.Dataset, target: Path, names: str | Sequence[str] | None) -> None:
    """The cases as lines."""
    tidy(ds, names).to_csv(target, index=False)


def write_parquet(ds: xr.Dataset, target: Path, names: str | Sequence[str] | None) -> None:
    """The cases as rows of columns with types."""
    import pyarrow  # noqa: F401, PLC0415, ICN001 - an extra; pandas' own message does not name it

    tidy(ds, names).to_parquet(target, index=False)


def is_text(variable: xr.Variable) -> bool:
    """Whether a variable holds text of any length."""
    return variable.dtype.kind in "TUO"


def storable(attrs: Mapping[Any, Any]) -> dict[Any, Any]:
    """Attributes of which NetCDF has the type; JSON in place of others.

    `bounds` is `value_bounds` there: CF means by it another variable that holds the edges of cells.
    """
    named = {"value_bounds" if name == "bounds" else name: value for name, value in attrs.items()}
    return {name: value if is_storable(value) else json.dumps(value) for name, value in named.items()}


def is_storable(value: Any) -> bool:
    """Whether NetCDF can hold an attribute."""
    if isinstance(value, list | tuple):
        return (bool(value) and all(isinstance(item, str) for item in value)) or is_numbers(value)
    return isinstance(value, str | int | float | np.ndarray | np.number) and not isinstance(value, bool)


def is_numbers(values: Sequence[Any]) -> bool:
    """Whether these are numbers, one or more."""
    return bool(values) and all(isinstance(item, int | float) and not isinstance(item, bool) for item in values)


Writer = Callable[[xr.Dataset, Path, "str | Sequence[str] | None"], None]
WRITERS: Mapping[str, Writer] = {".nc": write_netcdf, ".csv": write_csv, ".parquet": write_parquet}
