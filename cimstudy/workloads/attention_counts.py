"""Metrics of what attention wrote, searched and kept."""

from collections.abc import Mapping

from cimstudy.metric import Metric

ATTENTION: Mapping[str, Metric] = {
    "operand_writes": Metric(long_name="numbers written to arrays at inference", units="1/token", better="lower"),
    "cell_writes": Metric(long_name="cells written at inference", units="1/token", better="lower"),
    "kept_share": Metric(long_name="share of the keys seen that attention keeps", better="lower", bounds=(0, 1)),
    "top_recall": Metric(
        long_name="share of the kept keys that are among as many of highest digital score",
        better="higher",
        bounds=(0, 1),
    ),
    "searches": Metric(long_name="searches for keys, by all heads and layers", units="1/token", better="lower"),
    "layers_taken": Metric(long_name="layers that compute a token", units="1/token", better="lower"),
}


def attention_metrics(counts: Mapping[str, float], layers: int) -> dict[str, float]:
    """The metrics from the counts of a chip with so many layers. What keeps all keys has a share and a recall of 1."""
    tokens, kept = counts["tokens"] / layers, counts.get("kept", 1.0)
    return {
        "operand_writes": counts.get("writes", 0.0) / tokens,
        "cell_writes": counts.get("cell_writes", 0.0) / tokens,
        "kept_share": kept / counts.get("seen", 1.0),
        "top_recall": counts.get("found", 1.0) / kept if kept else float("nan"),
        "searches": counts.get("searches", 0.0) / tokens,
        "layers_taken": counts.get("computed", counts["tokens"]) / tokens,
    }
