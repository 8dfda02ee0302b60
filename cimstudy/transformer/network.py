"""The forward pass of a transformer, in one file; matrix products, attention and what is not linear are arguments.

`linear(name, x)` is the product of `x` with the static matrix `name`: digital, or a chip's. `attend(run, layer, name,
x)` leads from a layer's input to what its output projection takes: `SOFTMAX_ATTENTION`, or a chip's. `units` are for
softmax, norms and activations: exact, or a chip's. Everything else (positions, biases) is float32 and the same in both.
A family of models differs from another by the flags of its config and nothing else.

A sequence's results do not depend, bit for bit, on the other sequences of the batch, and an injected product should
keep it so.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cimstudy.transformer.attention import Block, Cache, Meeting, View, attend, merge_heads, split_heads
from cimstudy.transformer.config import TransformerConfig
from cimstudy.transformer.rotary import rotate
from cimstudy.transformer.units import EXACT, Units

Array = NDArray[np.float32]
Places = NDArray[np.integer]


class Linear(Protocol):
    """The product of activations with a static matrix."""

    def __call__(self, name: str, x: Array, /, *, rows: Places | None = None) -> Array:
        """Product of x (sequences, T, n_in) with the matrix `name`: (sequences, T, n_out), float32; x stays as it is.

        rows : if x is (1, n, n_in), some vectors of a batch: their numbers in it, (n,).
        """
        ...


class Attention(Protocol):
    """How the tokens of one layer attend to each other."""

    def __call__(self, run: "Pass", layer: int, name: str, x: Array, /) -> Array:
        """What the heads bring each token, (sequences, T, heads d_head), from x (sequences, T, width).

        layer : its number.  name : of its attention, under which its weights are.
        """
        ...

    def layer(self, run: "Pass", i: int, x: Array, /) -> Array:
        """A whole layer, as the function `layer`, from which some tokens may be left out."""
        ...


class Routed(Protocol):
    """Who wants to know which experts are asked."""

    def __call__(self, name: str, chosen: Places, /) -> None:
        """The experts (tokens, experts_per_token) that tokens ask in the FFN called `name`, of tokens that count."""
        ...


class Weighted(Protocol):
    """What the forward pass reads of a model."""

    @property
    def config(self) -> TransformerConfig:
        """Sizes."""
        ...

    @property
    def weights(self) -> Mapping[str, Array]:
        """Arrays by name."""
        ...


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One run of the network over a batch: the model, its product, attention and units, and where the tokens stand.

    positions : (sequences or 1, T), places of the tokens in their sequences.
    lengths : (sequences,), of texts that are shorter than the batch; None: all are as long.
    routed : is told which experts are asked.
    """

    model: Weighted
    linear: Linear
    attend: Attention
    units: Units = EXACT
    routed: "Routed | None" = None
    positions: Places
    lengths: Places | None = None
    cache: Cache | None = None

    @property
    def config(self) -> TransformerConfig:
        """The model's."""
        return self.model.config

    @property
    def last(self) -> Places:
        """The last position of each sequence that counts: (sequences or 1,)."""
        return self.positions[:, -1] if self.lengths is None else self.positions[:, 0] + self.lengths - 1

    def product(self, name: str, x: Array, rows: Places | None = None) -> Array:
        """The product of x with a static matrix, plus its bias if it has one."""
        return self.biased(name, self.linear(name, x) if rows is None else self.linear(name, x, rows=rows))

    def biased(self, name: str, y: Array) -> Array:
        """Add the bias of a matrix to y, if it has one."""
        bias = self.model.weights.get(f"{name}.bias")
        return y if bias is None else y + bias

    def norm(self, name: str, x: Array) -> Array:
        """Rows of x normalised: to a root mean square of one, or to a mean of zero and a variance of one."""
        weights, layer = self.model.weights, self.config.norm == "layer"
        centred = x - x.mean(axis=-1, keepdims=True) if layer else x
        y = self.units.norm(name, centred, self.config.norm_eps)
        y *= weights[name]
        if layer:
            y += weights[f"{name}.bias"]
        return y


def forward(run: Pass, x: Array) -> Array:
    """What comes out for embedded tokens x (sequences, T, width): logits, or vectors if the model has no head."""
    config = run.config
    for i in range(config.layers):
        x = run.attend.layer(run, i, x)
    return head(run, run.norm("norm", x) if config.final_norm else x)


def embed_images(run: Pass, images: Array) -> Array:
    """Patches of images (sequences, channels, height, width), after a token for the class: (sequences, T, width)."""
    config, weights = run.config, run.model.weights
    side = config.patch
    squares = images.reshape(*images.shape[:2], images.shape[2] // side, side, images.shape[3] // side, side)
    patches = squares.transpose(0, 2, 4, 1, 3, 5).reshape(len(images), -1, config.channels * side**2)
    x = run.product("embedding.patch", patches)
    x = np.concatenate([np.broadcast_to(weights["class_token"], (len(x), 1, config.width)), x], axis=1)
    x += weights["positions"]
    return x


def embed(run: Pass, tokens: Places, token_types: Places) -> Array:
    """Embedded tokens: (sequences, T) gives (sequences, T, width)."""
    config, weights = run.config, run.model.weights
    x = weights["embedding"][tokens]
    if config.embedding_scale != 1:
        x *= np.float32(config.embedding_scale)
    if config.token_types:
        x += weights["token_types"][token_types]
    positions = weights["positions"][run.positions] if config.learned_positions else None
    if positions is not None and config.positions_projected:
        x += positions
    if config.embedding_norm:
        x = run.norm("embedding.norm", x)
    if config.embedding_width is not None:
        x = run.product("embedding.projection", x)
    if positions is not None and not config.positions_projected:
        x += positions
    return x


def layer(run: Pass, i: int, x: Array) -> Array:
    """One layer. x : (sequences, T, width), which it may overwrite; returns the same shape."""
    at = f"layers.{run.config.group(i)}"

    def attention_of(y: Array) -> Array:
        return attention(run, i, f"{at}.attention", y)

    def ffn_of(y: Array) -> Array:
        return ffn(run, f"{at}.ffn", y)

    if run.config.parallel:
        changed = attention_of(run.norm(f"{at}.attention.norm", x))
        changed += ffn_of(run.norm(f"{at}.ffn.norm", x))
        return np.add(x, changed, out=x)
    for name, part in ((f"{at}.attention", attention_of), (f"{at}.ffn", ffn_of)):
        x = residual(run, name, part, x)
    return x


def residual(run: Pass, name: str, part: Callable[[Array], Array], x: Array) -> Array:
    """Add to x what a part of a layer makes of it, with norms where the family has them. May overwrite x."""
    if run.config.norm_place == "after":
        return run.norm(f"{name}.norm", np.add(x, part(x), out=x))
    y = part(run.norm(f"{name}.norm", x))
    if run.config.norm_place == "around":
        y = run.norm(f"{name}.norm_after", y)
    return np.add(x, y, out=x)


def attention(run: Pass, i: int, name: str, x: Array) -> Array:
    """Self-attention of layer `i`, with the weights at `name`.  x : (sequences, T, width).  Returns x's shape."""
    return run.product(f"{name}.o", run.attend(run, i, name, x))


class SoftmaxAttention:
    """Attention as transformers define it."""

    def __call__(self, run: Pass, layer: int, name: str, x: Array, /) -> Array:
        """As `Attention`."""
        return merge_heads(attend(meeting(run, layer, projected(run, name, x))))

    def layer(self, run: Pass, i: int, x: Array, /) -> Array:
        """As `Attention`: every token goes through every layer."""
        return layer(run, i, x)


SOFTMAX_ATTENTION = SoftmaxAttention()


def projected(run: Pass, name: str, x: Array) -> tuple[Array, Array, Array]:
    """Queries, keys and values of tokens x (sequences, T, width): (sequences, heads or kv_heads, T, d_head) each."""
    config = run.config
    q, k, v = (run.product(f"{name}.{part}", x) for part in "qkv")
    if config.qk_norm:
        q, k = head_norm(run, f"{name}.q_norm", q), head_norm(run, f"{name}.k_norm", k)
    if config.rotary is not None:
        turns = config.rotary.turns(run.positions, run.last, config.head_width, config.heads)
        q, k = (rotate(part, turns, config.head_width, config.rotary.width) for part in (q, k))
    return split_heads(q, config.heads), split_heads(k, config.kv_heads), split_heads(v, config.kv_heads)


def meeting(run: Pass, layer: int, parts: tuple[Array, Array, Array]) -> Meeting:
    """New queries, keys and values of a layer, with those that the cache holds of earlier tokens."""
    config = run.config
    q, k, v = parts[0], run.units.kept(parts[1]), run.units.kept(parts[2])
    if run.cache is not None:
        k, v = run.cache.put(layer, k, v, run.positions)
    lengths = None if config.causal else run.lengths
    return Meeting(
        q=q * np.float32(config.score_scale or config.head_width**-0.5),
        k=k,
        v=v,
        positions=run.positions,
        view=View(causal=config.causal, window=config.window(layer), lengths=lengths),
        cap=config.score_cap,
        softmax=AttentionSoftmax(
            units=run.units, name=f"layers.{config.group(layer)}.attention.softmax", shape=q.shape
        ),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class AttentionSoftmax:
    """The softmax of one layer's attention.  shape : of its queries, (sequences, heads, Q, d_head)."""

    units: Units
    name: str
    shape: tuple[int, ...]

    def __call__(self, block: Block, scores: Array, /) -> tuple[Array, Array]:
        """As `attention.Softmax`."""
        vectors = np.arange(self.shape[0] * self.shape[2]).reshape(self.shape[0], -1)
        return self.units.softmax(self.name, scores, vectors[block.some, block.rows], block.keys.start)


def head_norm(run: Pass, name: str, x: Array) -> Array:
    """RMS norm of each head's entries.  x : (sequences, T, heads d_head)."""
    gain = run.model.weights[name]
    y = run.units.norm(name, x.reshape(*x.shape[:2], -1, len(gain)), run.config.norm_eps)
    y *= gain
    return y.reshape(x.shape)


def ffn(run: Pass, name: str, x: Array) -> Array:
    """The layer's second part: one FFN for all tokens, or experts.  x : (sequences, T, width).  Returns x's shape."""
    if not run.config.experts:
        return dense_ffn(run, name, x)
    vectors = x.reshape(-1, x.shape[-1])
    y = np.zeros_like(vectors)
    for expert, rows, share in routes(run, name, x):
        part = dense_ffn(run, f"{name}.experts.{expert}", vectors[None, rows], rows)
        y[rows] += share[:, None] * part[0]
    return y.reshape(x.shape)


def routes(run: Pass, name: str, x: Array) -> Iterator[tuple[int, Places, Array]]:
    """Each expert that is asked: its number, the tokens (n,) that ask it, and its share of their results (n,)."""
    scores = run.product(f"{name}.router", x)
    vectors = np.arange(scores.shape[0] * scores.shape[1]).reshape(scores.shape[:2])
    weights, sums = run.units.softmax(f"{name}.softmax", scores[:, None], vectors, 0)
    shares = (weights / sums).reshape(-1, run.config.experts)
    count = run.config.experts_per_token
    chosen = np.argsort(-shares, axis=-1, kind="stable")[:, :count]  # (tokens, count)
    if run.routed is not None:
        run.routed(name, chosen if run.lengths is None else chosen[counts(run, x.shape[1])])
    taken = np.take_along_axis(shares, chosen, axis=-1)
    taken /= taken.sum(axis=-1, keepdims=True)
    for expert in range(run.config.experts):
        rows, places = np.nonzero(chosen == expert)
        if len(rows):
            yield expert, rows, taken[rows, places]


def counts(run: Pass, length: int) -> NDArray[np.bool_]:
    """Which of the flattened tokens are within the lengths of their texts, (tokens,)."""
    assert run.lengths is not None  # noqa: S101 - the caller's branch, for the type checker
    found: NDArray[np.bool_] = (np.arange(length) < run.lengths[:, None]).ravel()
    return found


def dense_ffn(run: Pass, name: str, x: Array, rows: Places | None = None) -> Array:
    """Activation of x W_up, or of x W_gate times x W_up, times W_down."""
    first = run.product(f"{name}.gate" if run.config.gated else f"{name}.up", x, rows)
    operator = f"{name.partition('.experts.')[0]}.activation"
    hidden = run.units.activation(operator, run.config.activation, first, rows)
    if run.config.gated:
        hidden *= run.product(f"{name}.up", x, rows)
    return run.product(f"{name}.down", hidden, rows)


def head(run: Pass, x: Array) -> Array:
    """Logits from what the last layer gave: (sequences, T, width) to (..., vocabulary or classes)."""
    config = run.config
    if config.head == "none":
        return x
    if config.head == "classes":
        x = x[:, :1]  # a first token stands for the whole
        if config.pool is not None:
            x = run.units.activation("head.activation", config.pool, run.product("head.pool", x))
        return run.product("head", x)[:, 0]
    if config.head == "masked":
        x = run.units.activation("head.activation", config.activation, run.product("head.transform", x))
        x = run.norm("head.norm", x)
    elif config.embedding_width is not None:
        x = run.product("head.projection", x)
    logits = run.product("head", x)
    if config.logit_cap is not None:
        logits = np.float32(config.logit_cap) * np.tanh(logits / np.float32(config.logit_cap))
    return logits
