"""Train the bundled model: a byte-level Llama of 1.87 million weights, on the documentation that Python ships.

`python scripts/train_reference.py` writes a checkpoint folder as `transformers` would, evaluates it as it was written
(float16 weights) on the held-out text and prints one JSON line last. The same seed, Python and number of threads give
the same weights on one kind of CPU.
"""

import argparse
import json
import math
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # PyTorch's own name for it

from cimstudy.transformer.corpus import held_out_text, training_parts

BUNDLED = Path(__file__).parents[1] / "cimstudy" / "transformer" / "bundled"

Weights = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of the network; its names are those of a Hugging Face Llama."""

    vocab_size: int = 256
    hidden_size: int = 192
    intermediate_size: int = 512
    num_hidden_layers: int = 4
    num_attention_heads: int = 6
    max_position_embeddings: int = 256
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What the optimisers do; rates of the usual size, not searched for."""

    steps: int
    batch: int = 8  # sequences of a full context; better than 16 after the same 1 MB
    reference_repeats: int = 2  # the language reference, being closest to what is measured, is drawn twice as often
    seed: int = 0
    matrix_rate: float = 0.02  # Muon, for the matrices of the layers
    other_rate: float = 4e-3  # AdamW, for embedding, norms and head
    weight_decay: float = 0.1  # of the matrices, times the rate
    warmup: int = 50  # steps
    steady: float = 0.3  # part of the steps before the rate falls, linearly, to zero


def initial_weights(shape: Shape, generator: torch.Generator) -> Weights:
    """Normal weights of variance 1 / n_in; what adds to the residual stream starts at zero, the norms at one."""
    width, ffn = shape.hidden_size, shape.intermediate_size

    def normal(n_out: int, n_in: int) -> Tensor:
        return torch.randn(n_out, n_in, generator=generator) / math.sqrt(n_in)

    weights = {"model.embed_tokens.weight": normal(shape.vocab_size, width)}
    for layer in range(shape.num_hidden_layers):
        weights |= {
            f"model.layers.{layer}.{name}": value
            for name, value in {
                "input_layernorm.weight": torch.ones(width),
                "self_attn.q_proj.weight": normal(width, width),
                "self_attn.k_proj.weight": normal(width, width),
                "self_attn.v_proj.weight": normal(width, width),
                "self_attn.o_proj.weight": torch.zeros(width, width),
                "post_attention_layernorm.weight": torch.ones(width),
                "mlp.gate_proj.weight": normal(ffn, width),
                "mlp.up_proj.weight": normal(ffn, width),
                "mlp.down_proj.weight": torch.zeros(width, ffn),
            }.items()
        }
    weights["model.norm.weight"] = torch.ones(width)
    weights["lm_head.weight"] = normal(shape.vocab_size, width) * 0.1
    return weights


def rotary_tables(shape: Shape) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every position's angles, each (context, d_head), the second half repeating the first."""
    d_head = shape.hidden_size // shape.num_attention_heads
    frequencies = shape.rope_theta ** (-torch.arange(0, d_head, 2) / d_head)
    angles = torch.outer(torch.arange(shape.max_position_embeddings), frequencies).repeat(1, 2)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions: pairs are (i, i + d_head / 2), as in Hugging Face's Llama."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def logits(weights: Weights, shape: Shape, tokens: Tensor) -> Tensor:
    """Next-byte logits: tokens (sequences, T) gives (sequences, T, vocab)."""
    cos, sin = (table[: tokens.shape[1]] for table in rotary_tables(shape))

    def norm(x: Tensor, name: str) -> Tensor:
        return F.rms_norm(x, (shape.hidden_size,), weights[f"{name}.weight"], shape.rms_norm_eps)

    def split(x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], shape.num_attention_heads, -1).transpose(1, 2)  # (sequences, heads, T, d_head)

    x = weights["model.embed_tokens.weight"][tokens]  # (sequences, T, width)
    for layer in range(shape.num_hidden_layers):
        at = f"model.layers.{layer}"
        y = norm(x, f"{at}.input_layernorm")
        q, k, v = (split(F.linear(y, weights[f"{at}.self_attn.{name}_proj.weight"])) for name in "qkv")
        y = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True)
        x = x + F.linear(y.transpose(1, 2).flatten(2), weights[f"{at}.self_attn.o_proj.weight"])
        y = norm(x, f"{at}.post_attention_layernorm")
        gate, up = (F.linear(y, weights[f"{at}.mlp.{name}_proj.weight"]) for name in ("gate", "up"))
        x = x + F.linear(F.silu(gate) * up, weights[f"{at}.mlp.down_proj.weight"])
    return F.linear(norm(x, "model.norm"), weights["lm_head.weight"])


def loss(weights: Weights, shape: Shape, windows: Tensor) -> Tensor:
    """Mean cross entropy, nats per byte.  windows : (sequences, T + 1), bytes."""
    scores = logits(weights, shape, windows[:, :-1])
    return F.cross_entropy(scores.flatten(0, 1), windows[:, 1:].flatten())


def bits_per_byte(weights: Weights, shape: Shape, text: bytes) -> float:
    """Mean over the text's full windows, one after the other; each predicts `context` bytes from its first on."""
    context = shape.max_position_embeddings
    data = torch.from_numpy(np.frombuffer(text, np.uint8).astype(np.int64))
    windows = data.unfold(0, context + 1, context)
    parts = [windows[i : i + 16] for i in range(0, len(windows), 16)]
    with torch.no_grad():
        nats = sum(float(loss(weights, shape, part)) * len(part) for part in parts) / len(windows)
    return nats / math.log(2)


@dataclass(frozen=True)
class Muon:
    """Momentum whose steps are orthogonal matrices (K. Jordan, 2024), in float32 and batched over equal shapes.

    `torch.optim.Muon` is the same step in bfloat16, one matrix at a time, which most CPUs compute slowly.
    """

    groups: list[tuple[list[Tensor], Tensor]]  # matrices of one shape, and their momenta stacked

    @classmethod
    def of(cls, matrices: list[Tensor]) -> "Muon":
        """Start at zero momentum.  matrices : each (n_out, n_in)."""
        shapes = dict.fromkeys(tuple(w.shape) for w in matrices)
        groups = [[w for w in matrices if tuple(w.shape) == shape] for shape in shapes]
        return cls([(group, torch.zeros(len(group), *group[0].shape)) for group in groups])

    def step(self, rate: float, weight_decay: float, momentum: float = 0.95) -> None:
        """Move every matrix against its gradient; the root mean square of a step is about `rate / sqrt(n_in)`."""
        with torch.no_grad():
            self._step(rate, weight_decay, momentum)

    def _step(self, rate: float, weight_decay: float, momentum: float) -> None:
        for matrices, velocity in self.groups:
            gradient = torch.stack([w.grad for w in matrices if w.grad is not None])
            velocity.lerp_(gradient, 1 - momentum)
            direction = orthogonal(gradient.lerp(velocity, momentum))  # Nesterov
            scale = max(1, direction.shape[1] / direction.shape[2]) ** 0.5
            for w, step in zip(matrices, direction, strict=True):
                w.mul_(1 - rate * weight_decay).sub_(step, alpha=rate * scale)


def orthogonal(x: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrices, roughly (singular values in 0.7 to 1.2).  x : (matrices, n_out, n_in)."""
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):  # quintic Newton-Schulz; Jordan's coefficients
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.mT if tall else x


def rate_at(step: int, recipe: Recipe) -> float:
    """Factor on the rates: rises over the warm-up, stays, falls linearly to zero."""
    rise = min(1.0, (step + 1) / recipe.warmup)
    fall = (recipe.steps - step) / (recipe.steps * (1 - recipe.steady))
    return min(rise, fall, 1.0)


def train(weights: Weights, shape: Shape, recipe: Recipe, text: bytes, held_out: bytes) -> None:
    """Train `weights` in place on windows drawn anywhere in the text, printing as it goes."""
    data = torch.from_numpy(np.frombuffer(text, np.uint8).astype(np.int64))
    draws = torch.Generator().manual_seed(recipe.seed + 1)
    offsets = torch.arange(shape.max_position_embeddings + 1)
    layers = [name for name in weights if name.startswith("model.layers.") and weights[name].ndim == 2]
    muon = Muon.of([weights[name] for name in layers])
    adam = torch.optim.AdamW(
        [weights[name] for name in weights if name not in layers], lr=0.0, betas=(0.9, 0.95), weight_decay=0.0
    )
    for w in weights.values():
        w.requires_grad_()
    started = time.perf_counter()
    running = math.log(shape.vocab_size)
    for step in range(recipe.steps):
        starts = torch.randint(len(data) - len(offsets), (recipe.batch, 1), generator=draws)
        value = loss(weights, shape, data[starts + offsets])
        value.backward()
        factor = rate_at(step, recipe)
        muon.step(factor * recipe.matrix_rate, recipe.weight_decay)
        adam.param_groups[0]["lr"] = factor * recipe.other_rate
        adam.step()
        for w in weights.values():
            w.grad = None
        running += 0.02 * (value.item() - running)
        if (step + 1) % 100 == 0 or step + 1 == recipe.steps:
            seen = f"step {step + 1:5d}  {time.perf_counter() - started:6.0f} s  train {running / math.log(2):.3f}"
            if (step + 1) % 500 == 0:
                seen += f"  held out {bits_per_byte(weights, shape, held_out):.4f}"
            print(seen, "bits per byte", flush=True)


def config(shape: Shape, facts: dict[str, Any]) -> dict[str, Any]:
    """What stands in config.json: Hugging Face's fields for a Llama, and how this one was trained."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.num_hidden_layers,
        "num_attention_heads": shape.num_attention_heads,
        "num_key_value_heads": shape.num_attention_heads,
        "max_position_embeddings": shape.max_position_embeddings,
        "hidden_act": "silu",
        "rms_norm_eps": shape.rms_norm_eps,
        "rope_theta": shape.rope_theta,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "cimstudy": facts,
    }


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3000, help="of 8 x 256 bytes")
    parser.add_argument("--out", type=Path, default=BUNDLED, help="folder for config.json and model.safetensors")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="the bundled model was trained by one")
    return parser.parse_args()


def main() -> None:
    """Train, round to float16, evaluate what was rounded, write."""
    given = options()
    torch.set_num_threads(given.threads)
    shape, recipe = Shape(), Recipe(steps=given.steps, seed=given.seed)
    reference, library = training_parts()
    text, held_out = b"\n\n".join([reference] * recipe.reference_repeats + [library]), held_out_text()
    weights = initial_weights(shape, torch.Generator().manual_seed(recipe.seed))
    wall, cpu = time.perf_counter(), time.process_time()
    train(weights, shape, recipe, text, held_out)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu

    rounded = {name: w.detach().half() for name, w in weights.items()}
    bits = bits_per_byte({name: w.float() for name, w in rounded.items()}, shape, held_out)
    facts = {
        "tokenizer": "bytes",
        "steps": recipe.steps,
        "seed": recipe.seed,
        "training_bytes": len(reference) + len(library),
        "held_out_bytes": len(held_out),
        "held_out_bits_per_byte": round(bits, 4),
        "python": platform.python_version(),
    }
    given.out.mkdir(parents=True, exist_ok=True)
    # Through Python's own file, so that the usual permissions hold: `save_file` lets only the owner read.
    (given.out / "model.safetensors").write_bytes(save(rounded, metadata={"format": "pt"}))
    (given.out / "config.json").write_text(json.dumps(config(shape, facts), indent=2) + "\n")
    print(json.dumps(facts | {"wall_s": round(wall), "cpu_s": round(cpu), "out": str(given.out)}))


if __name__ == "__main__":
    main()
