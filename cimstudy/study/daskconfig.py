"""How Dask is set up for studies, on this machine and on others."""

from typing import Any

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMBA_NUM_THREADS")

# Dask's own value gives freed arrays back to the system at once; asking for them again cost a third of a case.
MALLOC = {"MALLOC_TRIM_THRESHOLD_": 2**30, "MALLOC_MMAP_THRESHOLD_": 2**25}

SETTINGS: dict[str, Any] = {
    "distributed.nanny.pre-spawn-environ": dict.fromkeys(THREADS, 1) | MALLOC,
    "distributed.scheduler.allowed-failures": 1,  # deaths of a block's workers before its cases are isolated
    "distributed.scheduler.worker-ttl": "30 minutes",  # a long native call that holds the GIL is no dead worker
    "distributed.worker.memory.target": False,  # only returned values spill, and tasks return next to nothing
    "distributed.worker.memory.spill": False,
    "distributed.worker.preload": [
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
    ],  # Ctrl-C is the client's
    "distributed.comm.timeouts.connect": "60s",
    "distributed.worker.profile.interval": "1s",  # Dask's own hundred samples a second cost tasks of seconds 3 %
    "distributed.worker.profile.cycle": "10s",
    "distributed.admin.tick.interval": "500ms",  # Dask's own 50 wakings a second of each process delay short cases
    "distributed.admin.system-monitor.interval": "2s",
    "distributed.worker.memory.monitor-interval": "200ms",
}


def environment() -> dict[str, str]:
    """The settings as environment variables, for processes that other machines start: Dask reads them there."""
    names = {f"DASK_{name.replace('.', '__').replace('-', '_').upper()}": name for name in SETTINGS}
    return dict.fromkeys(THREADS, "1") | {variable: str(SETTINGS[name]) for variable, name in names.items()}
