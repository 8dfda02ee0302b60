"""The times of a network at the points of a group: of a token, and of both phases."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from cimstudy.cost import latency, meeting, online
from cimstudy.cost.coefficients import event
from cimstudy.cost.counts import is_nothing, ratio, total
from cimstudy.cost.dynamic import Attended
from cimstudy.cost.events import unless_said
from cimstudy.cost.latency import Attending, Timing
from cimstudy.cost.run import Layers, Run
from cimstudy.cost.taken import Parts, Taking


def link_time(run: Run, chips: Any) -> Any:
    """Time of a token on its way from chip to chip, s."""
    bandwidth = unless_said(run.group.numbers["architecture.links.bandwidth"], event("link", "bandwidth"))
    return (chips - 1) * (run.shape.width * run.link_bits / bandwidth)


def timings_of(run: Run, steps: list[Taking], parts: Parts, chips: Any) -> tuple[Timing, Timing]:
    """The times of a token in each phase."""
    second = timing_of(run, 1, steps, parts, chips)
    shares_alike = all(first is last for layers, _ in parts for first, last in layers.shares.values())
    one_by_one = not any(online.is_online(layers.group) for layers in run.attention)
    if shares_alike and one_by_one and all(step.alike for step in steps):
        return second, second
    return timing_of(run, 0, steps, parts, chips), second


def timing_of(run: Run, phase: int, steps: list[Taking], parts: Parts, chips: Any) -> Timing:
    """The times of a token of a phase."""
    longest = total(step.shared(phase) for step in steps)
    for _, products in parts:
        for part in products.values():
            longest = np.maximum(longest, part.token_time)
    uses = [taken.uses[phase] for step in steps for taken in step.products]
    for time in {id(use.time): use.time for use in uses if not use.shared}.values():  # once where they are one
        longest = np.maximum(longest, time)
    return Timing(
        static=total(run.remaining(step.operator, step.time(phase)) for step in steps if not step.last_only),
        head=total(step.time(phase) for step in steps if step.last_only),
        longest=longest,
        attention=[attending(run, phase, *each) for each in parts],
        vector=total(
            run.left(name) * elements * setting.element_time(name)
            for name, own in run.elements.items()
            for elements, setting in own
        ),
        links=link_time(run, chips),
    )


def attending(run: Run, phase: int, layers: Layers, parts: Mapping[str, Attended]) -> Attending:
    """The times of attention for a token of a phase."""
    setting, kept = layers.settings["softmax"], layers.shares["values"][phase]
    element = setting.element_time("softmax")
    softmax = layers.shape.heads * kept * element if meeting.needs_softmax(layers.group) else 0.0
    pair = total(part.pair_time * layers.shares[name][phase] for name, part in parts.items())
    pair = total([pair, *(part.kept_time * kept for part in parts.values() if not is_nothing(part.kept_time))])
    found = Attending(
        groups=layers.shape.attention,
        token=run.remaining("attention", total(part.token_time for part in parts.values())),
        pair=pair + softmax,
        shared_pair=np.maximum(pair, softmax),
    )
    if not online.is_online(layers.group):
        return found
    block = online.elements(layers.shape) * element
    spread = softmax + block / layers.group.numbers["architecture.attention.size"]
    return replace(
        found, shared_pair=np.maximum(pair, spread), blocks=lambda span: block * layers.later_blocks(span, phase)
    )


def speeds(run: Run, timings: tuple[Timing, Timing]) -> dict[str, Any]:
    """Times of both phases: those that are outputs, and those that a sequence takes of the machine."""
    written, batch = run.decode.tokens, run.group.numbers["workload.batch"]
    read = {
        "stream": latency.streamed(timings[0], run.prefill, np.minimum(run.prefill.tokens, 1)),
        "full": latency.first_token(timings[0], run.prefill),
    }
    streamed = latency.streamed(timings[1], run.decode, written)
    staged = latency.stages(timings[1], run.decode)
    decode = {"stream": streamed, "full": np.maximum(staged, streamed / batch)}
    pipelining = run.group.choices["architecture.pipelining"]
    return {
        "first_token_stream": read["stream"],
        "first_token_pipelined": read["full"],
        "time_per_token": ratio(streamed, written),
        "tokens_per_second_stream": ratio(written, streamed),
        "tokens_per_second_pipelined": ratio(written, staged),
        "prefill": read[pipelining],
        "decode": decode[pipelining],
    }
