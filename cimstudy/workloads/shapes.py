"""What of a checkpoint's network costs, from its config alone."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache

from cimstudy.cost import Attention as Layers
from cimstudy.cost import ModelShape, Product, model_shape, shapes
from cimstudy.cost.shapes import Decoder, decoders, side_by_side
from cimstudy.errors import InputError
from cimstudy.hardware import Attention, Override
from cimstudy.transformer.checkpoint import read_config
from cimstudy.transformer.config import TransformerConfig, head_matrices, norm_widths
from cimstudy.transformer.operators import check_overrides
from cimstudy.transformer.rotary import Rotary
from cimstudy.transformer.schemes import check_scheme


@lru_cache(maxsize=16)
def shape_of(model: str) -> ModelShape:
    """The shape of a known network, by name, of the bundled model, or of a checkpoint in a folder.

    Raises InputError for what is none of them.
    """
    return model_shape(model) if model in shapes() else shape_of_config(config_of(model), model)


@lru_cache(maxsize=16)
def config_of(model: str) -> TransformerConfig:
    """The config of a network: of one that is known by name what its costs depend on. As `shape_of`."""
    if model in decoders():
        return config_of_sizes(decoders()[model])
    try:
        return read_config(model)
    except InputError as error:
        raise InputError(f"{error}; networks known by name: {', '.join(shapes())}") from None


def config_of_sizes(sizes: Decoder) -> TransformerConfig:
    """A config of these sizes."""
    return TransformerConfig(
        vocab_size=max(sizes.vocabulary, 1),
        width=sizes.width,
        layers=sizes.layers,
        heads=sizes.heads,
        kv_heads=sizes.kv_heads,
        head_width=sizes.head_width,
        ffn_width=sizes.ffn_width,
        gated=sizes.gated,
        context=sizes.context,
        causal=sizes.causal,
        rotary=Rotary.plain(sizes.head_width) if sizes.rotary else None,
        final_norm=False,
        head="tokens" if sizes.vocabulary else "none",
    )


@lru_cache(maxsize=256)
def check_fits(model: str, overrides: tuple[Override, ...], attention: Attention) -> None:
    """Raise InputError where an override fits no operator of a network, or a scheme of attention not its positions."""
    config = config_of(model)
    check_overrides(config, overrides)
    check_scheme(config, attention)


def shape_of_config(config: TransformerConfig, name: str) -> ModelShape:
    """What costs of a network of this config. Queries, keys and values are one matrix, and so are gate and up."""
    d, layers = config.width, config.layers
    inner, kv = config.heads * config.head_width, config.kv_heads * config.head_width
    products = [
        *embedding(config),
        of_layers(config, "qkv", d, {"attention.q": inner, "attention.k": kv, "attention.v": kv}),
        of_layers(config, "output", inner, {"attention.o": d}),
        *ffn(config),
    ]
    for matrix, (rows, columns) in head_matrices(config).items():
        products.append(of_network("head", matrix, rows, columns))
    return ModelShape(
        name=name,
        products=tuple(products),
        attention=attention(config),
        heads=config.heads,
        kv_heads=config.kv_heads,
        head_width=config.head_width,
        width=d,
        context=config.context,
        causal=config.causal,
        norms=tuple(norms(config, inner, kv)),
        activations=tuple(
            (f"layers.{group}.ffn.activation", layers // config.groups * config.ffn_width * chosen(config))
            for group in range(config.groups)
        ),
    )


def chosen(config: TransformerConfig) -> int:
    """How many FFNs of a layer a token meets."""
    return config.experts_per_token or 1


def attention(config: TransformerConfig) -> tuple[Layers, ...]:
    """Layers by their window."""
    found: dict[int | None, list[str]] = defaultdict(list)
    for number in range(config.layers):
        found[config.window(number)].append(f"layers.{config.group(number)}.attention")
    return tuple(Layers(layers=len(names), window=window, names=tuple(names)) for window, names in found.items())


def norms(config: TransformerConfig, inner: int, kv: int) -> Iterator[tuple[str, float]]:
    """Norms by name, and their elements for a token, which meets some of them more than once."""
    repeats = config.layers // config.groups
    for name, width in norm_widths(config):
        yield name, width * (repeats if name.startswith("layers.") else 1)
    if config.qk_norm:
        for group in range(config.groups):
            yield from ((f"layers.{group}.attention.{part}_norm", repeats * n) for part, n in (("q", inner), ("k", kv)))


def of_layers(config: TransformerConfig, operator: str, rows: int, columns: Mapping[str, int]) -> Product:
    """Matrices that every layer has one of. columns : of those that stand side by side, by their names in a layer."""
    return Product(
        operator=operator,
        rows=rows,
        columns=sum(columns.values()),
        count=config.groups,
        used=config.layers,
        steps=config.layers,
        matrices=tuple(side_by_side(f"layers.{group}", columns) for group in range(config.groups)),
    )


def of_network(operator: str, matrix: str, rows: int, columns: int) -> Product:
    """A matrix of the network."""
    return Product(
        operator=operator, rows=rows, columns=columns, last_only=operator == "head", matrices=(((matrix, columns),),)
    )


def embedding(config: TransformerConfig) -> Iterator[Product]:
    """Matrices ahead of the first layer."""
    if config.patch:
        yield of_network("embedding", "embedding.patch", config.channels * config.patch**2, config.width)
    if config.embedding_width is not None:
        yield of_network("embedding", "embedding.projection", config.embedding_width, config.width)


def ffn(config: TransformerConfig) -> Iterator[Product]:
    """The matrices of the FFN, or of the router and the experts."""
    d, wide = config.width, config.ffn_width
    up = ("gate", "up") if config.gated else ("up",)
    sizes = {"ffn_up": (d, dict.fromkeys(up, wide)), "ffn_down": (wide, {"down": d})}
    if not config.experts:
        for operator, (rows, columns) in sizes.items():
            yield of_layers(config, operator, rows, {f"ffn.{name}": width for name, width in columns.items()})
        return
    yield of_layers(config, "ffn_up", d, {"ffn.router": config.experts})
    for operator, (rows, columns) in sizes.items():
        matrices = tuple(
            side_by_side(f"layers.{group}.ffn.experts.{expert}", columns)
            for group in range(config.groups)
            for expert in range(config.experts)
        )
        yield replace(
            of_layers(config, operator, rows, columns),
            count=len(matrices),
            used=config.layers * chosen(config),
            matrices=matrices,
        )
