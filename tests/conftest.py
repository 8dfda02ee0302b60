"""One BLAS thread, before NumPy loads: results must not depend on the number of threads. Option --runslow."""

import os
import signal

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import pytest  # noqa: E402 - after the pinning
from hypothesis import settings  # noqa: E402

# Fixed examples: a failure seen once is seen by everyone. Compilation makes first examples slow.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")


# A shell lets its jobs in the background ignore Ctrl-C, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--runslow", action="store_true", help="also run the tests marked slow")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--runslow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="slow: run with --runslow"))
