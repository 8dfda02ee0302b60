"""How much memory this process may fill."""

import os

_limit: int | None = None


def set_limit(size: int | None) -> None:
    """Set the bytes that this process may fill; None: what the machine has. A worker of a cluster has its share."""
    global _limit  # noqa: PLW0603 - one process has one limit
    _limit = size


def limit() -> int:
    """Bytes that this process may fill."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return physical if _limit is None else min(_limit, physical)
