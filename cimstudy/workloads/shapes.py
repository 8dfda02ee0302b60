"""What of a checkpoint's network costs, from its config alone."""

from collections import Counter
from functools import lru_cache

from cimstudy.cost import Attention, ModelShape, Product, model_shape, shapes
from cimstudy.errors import InputError
from cimstudy.transformer.checkpoint import read_config
from cimstudy.transformer.config import TransformerConfig, head_matrices, norm_widths


@lru_cache(maxsize=16)
def shape_of(model: str) -> ModelShape:
    """The shape of a known network, by name, of the bundled model, or of a checkpoint in a folder.

    Raises InputError for what is none of them.
    """
    if model in shapes():
        return model_shape(model)
    try:
        return shape_of_config(read_config(model), model)
    except InputError as error:
        raise InputError(f"{error}; networks known by name: {', '.join(shapes())}") from None


def shape_of_config(config: TransformerConfig, name: str) -> ModelShape:
    """What costs of a network of this config. Queries, keys and values are one matrix, and so are gate and up."""
    d, layers, groups = config.width, config.layers, config.groups
    inner, kv = config.heads * config.head_width, config.kv_heads * config.head_width
    products = [
        *embedding(config),
        Product(operator="qkv", rows=d, columns=inner + 2 * kv, count=groups, used=layers, steps=layers),
        Product(operator="output", rows=inner, columns=d, count=groups, used=layers, steps=layers),
        *ffn(config),
    ]
    for rows, columns in head_matrices(config).values():
        products.append(Product(operator="head", rows=rows, columns=columns, last_only=True))
    windows = Counter(config.window(number) for number in range(layers))
    repeats = layers // groups
    norms = sum(width * (repeats if norm.startswith("layers.") else 1) for norm, width in norm_widths(config))
    return ModelShape(
        name=name,
        products=tuple(products),
        attention=tuple(Attention(layers=count, window=window) for window, count in windows.items()),
        heads=config.heads,
        kv_heads=config.kv_heads,
        head_width=config.head_width,
        width=d,
        context=config.context,
        causal=config.causal,
        norm_elements=norms + (layers * (inner + kv) if config.qk_norm else 0),
        activation_elements=layers * config.ffn_width * (config.experts_per_token or 1),
    )


def embedding(config: TransformerConfig) -> list[Product]:
    """Matrices ahead of the first layer."""
    found = []
    if config.patch:
        found.append(Product(operator="embedding", rows=config.channels * config.patch**2, columns=config.width))
    if config.embedding_width is not None:
        found.append(Product(operator="embedding", rows=config.embedding_width, columns=config.width))
    return found


def ffn(config: TransformerConfig) -> list[Product]:
    """The matrices of the FFN, or of the experts and their router."""
    d, wide, layers, groups = config.width, config.ffn_width, config.layers, config.groups
    experts, chosen = (config.experts, config.experts_per_token) if config.experts else (1, 1)
    sizes = {"ffn_up": (d, wide * (2 if config.gated else 1)), "ffn_down": (wide, d)}
    router = Product(operator="ffn_up", rows=d, columns=experts, count=groups, used=layers, steps=layers)
    return [
        *([router] if config.experts else []),
        *(
            Product(
                operator=name,
                rows=rows,
                columns=columns,
                count=groups * experts,
                used=layers * chosen,
                steps=layers,
            )
            for name, (rows, columns) in sizes.items()
        ),
    ]
