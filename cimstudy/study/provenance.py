"""Where results come from: versions of what computed them, the machine, and the state of the user's own files."""

import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = (
    *("cimstudy", "numpy", "numba", "scipy", "dask", "distributed", "zarr", "xarray", "pydantic", "safetensors"),
    *("tokenizers", "transformers", "torch"),  # of workloads that use them
)
GIT_SECONDS = 10.0  # after which git is not waited for


@cache  # they do not change while a process lasts, and looking for one takes milliseconds
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


def git_state() -> dict[str, Any] | None:
    """The commit of the working directory, and whether files of it were changed since; None without git."""
    commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no")
    return None if commit is None or changes is None else {"commit": commit, "dirty": bool(changes)}


def git(*arguments: str) -> str | None:
    """What git answers; None if it is not installed, or this is no repository."""
    command = ["git", "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=GIT_SECONDS)  # noqa: S603 - fixed
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


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
