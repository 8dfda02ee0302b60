"""Where results come from: versions of what computed them, and the machine."""

import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("cimstudy", "numpy", "numba", "scipy", "dask", "distributed", "zarr", "xarray", "pydantic", "safetensors")


def version(package: str) -> str | None:
    """The installed version of a package; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results can depend on."""
    found = {package: version(package) for package in PACKAGES}
    return {"python": platform.python_version()} | {name: text for name, text in found.items() if text is not None}


def machine() -> dict[str, str]:
    """The processor and the linear algebra library, on which the last bits of results depend."""
    return {"cpu": cpu_model(), "blas": blas(), "system": platform.platform()}


def cpu_model() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def blas() -> str:
    """The library behind numpy's matrix products, and its version."""
    config: Any = np.show_config(mode="dicts")
    found = config.get("Build Dependencies", {}).get("blas", {})
    return f"{found.get('name', 'unknown')} {found.get('version', '')}".strip()
