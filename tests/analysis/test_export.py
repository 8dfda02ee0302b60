import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cimstudy.analysis import export, tidy
from cimstudy.errors import InputError


@pytest.mark.filterwarnings("error")
def test_a_netcdf_file_holds_everything(grid: xr.Dataset, tmp_path: Path) -> None:
    attrs = {
        "name": "synthetic",
        "axes": ["a", "b"],
        "seed": 3,
        "versions": {"python": "3"},
        "bounds": [0, 1.5],
        "odd": None,
    }
    given = grid.assign_attrs(attrs | {"empty": [], "yes": True})
    assert export(given.chunk(adc_bits=1), tmp_path / "new" / "a.nc") == tmp_path / "new" / "a.nc"
    with xr.open_dataset(tmp_path / "new" / "a.nc", engine="h5netcdf") as found:
        xr.testing.assert_equal(found.drop_vars("error"), given.drop_vars("error"))
        assert found["error"].astype(str).values.tolist() == given["error"].values.tolist()
        assert found["perplexity"].attrs["reference"] == 20.0
        assert found.attrs["versions"] == '{"python": "3"}'
        assert (found.attrs["odd"], found.attrs["empty"], found.attrs["yes"]) == ("null", "[]", "true")


def test_a_netcdf_file_holds_the_bounds_of_a_metric(grid: xr.Dataset, tmp_path: Path) -> None:
    """In the attributes of a variable `bounds` would name another one: CF conventions, 7.1."""
    ds = grid.copy(deep=True)
    ds["perplexity"].attrs["bounds"] = [1.0, 256.0]
    with xr.open_dataset(export(ds, tmp_path / "a.nc"), engine="h5netcdf") as found:
        assert found["perplexity"].attrs["value_bounds"].tolist() == [1.0, 256.0]
    assert ds["perplexity"].attrs["bounds"] == [1.0, 256.0]


@pytest.mark.parametrize(("suffix", "read"), [(".csv", pd.read_csv), (".parquet", pd.read_parquet)])
def test_rows_are_those_of_tidy(grid: xr.Dataset, tmp_path: Path, suffix: str, read: Any) -> None:
    path = export(grid, tmp_path / f"rows{suffix}", "perplexity")
    found, expected = read(path), tidy(grid, "perplexity")
    pd.testing.assert_frame_equal(found.astype({"status": str}), expected.astype({"status": str}))


def test_a_store_can_be_exported(store: Path, tmp_path: Path) -> None:
    with xr.open_zarr(store) as ds:
        for suffix in (".nc", ".csv", ".parquet"):
            assert ds.cim.export(tmp_path / f"store{suffix}").stat().st_size > 1000
    with xr.open_dataset(tmp_path / "store.nc", engine="h5netcdf") as found:
        assert np.isfinite(found["perplexity"]).sum() == 190


def test_what_cannot_be_written_is_refused(grid: xr.Dataset, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"cannot export to 'a.xls': allowed are names that end in .nc, .csv, .parquet"
    ):
        export(grid, "a.xls")
    with pytest.raises(InputError, match=r"a NetCDF file holds all metrics; allowed with chosen ones: .csv, .parquet"):
        export(grid, tmp_path / "a.nc", ["perplexity"])
    with pytest.raises(InputError, match="unknown metric 'accuracy'"):
        export(grid, tmp_path / "a.csv", ["accuracy"])


@pytest.mark.parametrize(("suffix", "package"), [(".nc", "h5netcdf"), (".parquet", "pyarrow")])
def test_a_package_that_is_missing_is_named(tmp_path: Path, suffix: str, package: str) -> None:
    code = f"""
import sys
sys.modules["{package}"] = None
import numpy as np, xarray as xr
from cimstudy.analysis import export
case = ("point", "trial")
ds = xr.Dataset({{"loss": (case, np.ones((1, 1))), "status": (case, np.ones((1, 1), int))}}, {{"bits": ("point", [1])}})
try:
    export(ds, {str(tmp_path / ("a" + suffix))!r})
except ValueError as error:
    print(error)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == f"{suffix} needs {package}: pip install 'cimstudy[analysis]'"
