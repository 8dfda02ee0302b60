"""Studies: a space of points, a workload and chips; evaluated on Dask, kept in Zarr, read with xarray.

Names are imported when first used: a worker that evaluates needs neither xarray nor a cluster.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cimstudy.study.axis import Axis, Range
    from cimstudy.study.clusterfile import read_deployment
    from cimstudy.study.compaction import Compaction, compact
    from cimstudy.study.load import load_study
    from cimstudy.study.plan import DryRun, Plan
    from cimstudy.study.results import Failure, StoreStatus, open_results, store_status
    from cimstudy.study.space import Grid, LatinHypercube, Points, Product, Sobol, Space, Sum, Zip
    from cimstudy.study.stop import ClusterLostError, Interrupted, StoreLostError
    from cimstudy.study.stopping import Trials
    from cimstudy.study.study import Study
    from cimstudy.study.table import Point
    from cimstudy.study.verification import Defect, Verification, verify
    from cimstudy.study.workload import Workload

_FILES = {
    "Axis": "axis",
    "ClusterLostError": "stop",
    "Compaction": "compaction",
    "Defect": "verification",
    "DryRun": "plan",
    "Failure": "results",
    "Grid": "space",
    "Interrupted": "stop",
    "LatinHypercube": "space",
    "Plan": "plan",
    "Point": "table",
    "Points": "space",
    "Product": "space",
    "Range": "axis",
    "Sobol": "space",
    "Space": "space",
    "StoreLostError": "stop",
    "StoreStatus": "results",
    "Study": "study",
    "Sum": "space",
    "Trials": "stopping",
    "Verification": "verification",
    "Workload": "workload",
    "Zip": "space",
    "compact": "compaction",
    "load_study": "load",
    "open_results": "results",
    "read_deployment": "clusterfile",
    "store_status": "results",
    "verify": "verification",
}

__all__ = [
    "Axis",
    "ClusterLostError",
    "Compaction",
    "Defect",
    "DryRun",
    "Failure",
    "Grid",
    "Interrupted",
    "LatinHypercube",
    "Plan",
    "Point",
    "Points",
    "Product",
    "Range",
    "Sobol",
    "Space",
    "StoreLostError",
    "StoreStatus",
    "Study",
    "Sum",
    "Trials",
    "Verification",
    "Workload",
    "Zip",
    "compact",
    "load_study",
    "open_results",
    "read_deployment",
    "store_status",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
