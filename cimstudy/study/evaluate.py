"""One case: call the workload, time it, and turn whatever happens into a value."""

import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cimstudy import memory
from cimstudy.errors import InputError
from cimstudy.study.resolve import Resolved

LONGEST_TEXT = 20_000  # characters of a traceback that are kept


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a case: its metrics, or the text of its failure; and what it took."""

    values: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    error: str = ""
    seconds: float = float("nan")  # wall time
    peak_memory: float = float("nan")  # bytes: the most that its process held meanwhile
    refused: bool = False  # the workload raised InputError


def evaluate(resolved: Resolved, seed: int, trial: int) -> Outcome:
    """Evaluate a case. Never raises: what the workload raises is in the outcome, be it SystemExit."""
    memory.restart_peak()
    values: dict[str, NDArray[np.float64]] = {}
    text, refused = "", False
    start = time.perf_counter()
    try:
        result = resolved.workload(resolved.hardware, seed=seed, trial=trial)
        values = {str(name): np.asarray(value, np.float64) for name, value in dict(result).items()}
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a case that fails is a result
        text, refused = failure_text(error), isinstance(error, InputError)
    seconds = time.perf_counter() - start
    return Outcome(values=values, error=text, seconds=seconds, peak_memory=memory.peak(), refused=refused)


def failure_text(error: BaseException) -> str:
    """`Type: message` in one line, then the traceback from the workload on."""
    message = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    inner = error.__traceback__.tb_next if error.__traceback__ else None
    lines = "".join(traceback.format_exception(type(error), error, inner))
    return f"{type(error).__name__}: {message}\n{lines[-LONGEST_TEXT:]}"


def matched(outcome: Outcome, shapes: Mapping[str, tuple[int, ...]]) -> Outcome:
    """The outcome, or a failure if its metrics are not those of the store. shapes: of each metric, for one case."""
    if outcome.error:
        return outcome
    got: dict[str, Any] = {name: value.shape for name, value in outcome.values.items()}
    if got == dict(shapes):
        return outcome
    error = f"ValueError: the workload returned {spelled(got)}; the store holds {spelled(shapes)}\n"
    return replace(outcome, values={}, error=error)


def spelled(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Names and shapes, for people."""
    return ", ".join(f"{name} {shape}" if shape else name for name, shape in sorted(shapes.items())) or "nothing"


def one_line(error: BaseException) -> str:
    """An exception's message without line breaks."""
    return " ".join(str(error).split())
