"""Units for what is not linear: softmax, norms and activations, as they are built, with their rounding and errors.

Every unit computes Q_out(f(Q_in(x)) (1 + gain error) + offset error): its inputs and outputs may be rounded, and its
errors are normal, cycle-to-cycle: drawn anew for every output. A unit without any is as exact as its function.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from cimstudy.hardware.coding import Bits
from cimstudy.hardware.part import Part

Positive = Annotated[float, Field(gt=0)]
Spread = Annotated[float, Field(ge=0, le=1)]
Entries = Annotated[int, Field(ge=2, le=2**20)]


class Unit(Part):
    """What all units have in common."""

    input_bits: Bits | None = Field(default=None, description="of an input; None: not rounded")
    output_bits: Bits | None = Field(default=None, description="of an output; None: not rounded")
    gain_std: Spread = Field(default=0.0, description="error of each output, fraction of it")
    offset_std: Spread = Field(default=0.0, description="error of each output, fraction of full scale")


class Lookup(Part):
    """A function as entries, evenly spaced from end to end of the range of inputs."""

    entries: Entries = Field(default=256, description="of the table")
    entry_bits: Annotated[int, Field(ge=1, le=32)] | None = Field(
        default=None, description="of an entry, of full scale; None: not rounded"
    )
    interpolation: Literal[0, 1] = Field(default=0, description="0: the nearest entry; 1: straight lines between them")


class Ranges(Part):
    """A function as rows of a content-addressable memory that hold ranges of inputs, for each bit of the output.

    A bit is set if the input lies in one of its ranges.  Zhao et al. (RACE-IT), ICCD 2025.
    """

    bits: Annotated[int, Field(ge=1, le=12)] = Field(default=8, description="of an output, whose sign is one of them")
    code: Literal["gray", "binary"] = "gray"
    bound_std: Spread = Field(
        default=0.0, description="error of the bounds, fraction of the range of inputs; fixed per chip"
    )


class Softmax(Unit):
    """Of scores less the largest of their row, of which there is a range; full scale is 1."""

    range: Positive = Field(
        default=16.0,
        description="of inputs that are rounded or looked up: those further below the largest count as so far below",
    )
    denominator_std: Spread = Field(default=0.0, description="error that the outputs of a row share, fraction of them")


class ExactSoftmax(Softmax):
    """exp(s) over the sum of the row."""

    kind: Literal["exact"] = "exact"


class PolynomialSoftmax(Softmax):
    """exp by a polynomial of the second degree and a shift.  Kim et al. (I-BERT), ICML 2021, arXiv 2101.01321."""

    kind: Literal["i-bert"] = "i-bert"


class Base2Softmax(Softmax):
    """2^s over the sum of the row; with `rescaled` scores it is the softmax.  Stevens et al., arXiv 2103.09301."""

    kind: Literal["base-2"] = "base-2"
    rescaled: bool = Field(default=True, description="scores are multiplied by log2(e)")


class ConstantSoftmax(Softmax):
    """exp(s - shift) / denominator: without the row's largest and its sum.  Liu et al. (ConSmax), arXiv 2402.10930.

    Of scores as they are, which are rounded from -range to range.
    """

    kind: Literal["constant"] = "constant"
    shift: float = Field(default=0.0, description="beta of the source")
    denominator: Positive = Field(default=1.0, description="gamma of the source")


class HardSigmoid(Softmax):
    """slope s + offset, at least 0 and at most 1, of scores as they are, which are rounded from -range to range.

    Leroux et al., Nat. Comput. Sci. 5:813 (2025), who do not say the coefficients.
    """

    kind: Literal["hard-sigmoid"] = "hard-sigmoid"
    slope: Positive = 1 / 6
    offset: float = 0.5
    normalised: bool = Field(default=True, description="divided by the sum of the row")


class TableSoftmax(Softmax, Lookup):
    """exp from a table, over the sum of the row."""

    kind: Literal["table"] = "table"


class LogarithmSoftmax(Softmax, Lookup):
    """exp(s - ln(sum of exp(s))) with a table of exp and one of ln, and no division.

    Yang et al. (ReTransformer), ICCAD 2020, doi 10.1145/3400302.3415640.
    """

    kind: Literal["exp-log"] = "exp-log"
    log_entries: Entries = Field(default=256, description="of the table of ln, from 1 to 2")


class RangeSoftmax(Softmax, Ranges):
    """exp from a memory of ranges, over the sum of the row."""

    kind: Literal["range-cam"] = "range-cam"


class Norm(Unit):
    """Of a vector, whose largest magnitude is the full scale of what is rounded; errors are of unit variance."""

    denominator_std: Spread = Field(default=0.0, description="error that the outputs of a vector share, fraction")


class ExactNorm(Norm):
    """Over the root of the mean square."""

    kind: Literal["exact"] = "exact"


class IntegerNorm(Norm):
    """The root by Newton's method in integers, rounded down.  Kim et al. (I-BERT), ICML 2021, arXiv 2101.01321."""

    kind: Literal["i-bert"] = "i-bert"
    root_bits: Annotated[int, Field(ge=1, le=30)] = Field(default=16, description="of the root")


class TableNorm(Norm, Lookup):
    """1 / root from a table of the mean square's leading digits, from 1 to 4."""

    kind: Literal["table"] = "table"


class Activation(Unit):
    """Elementwise, from -range to range. Beyond, it is what it tends to; full scale is the range."""

    range: Positive = Field(default=8.0, description="of inputs")


class ExactActivation(Activation):
    """The model's own."""

    kind: Literal["exact"] = "exact"


class PolynomialActivation(Activation):
    """GELU by a polynomial of the error function, SiLU and tanh by one of exp.  Kim et al. (I-BERT), ICML 2021."""

    kind: Literal["i-bert"] = "i-bert"


class TableActivation(Activation, Lookup):
    """From a table."""

    kind: Literal["table"] = "table"


class RangeActivation(Activation, Ranges):
    """From a memory of ranges."""

    kind: Literal["range-cam"] = "range-cam"


def kind_of_unit(value: Any) -> Any:
    """A unit may be given by its kind alone; without one it is exact."""
    if isinstance(value, str):
        return {"kind": value}
    return {"kind": "exact"} | value if isinstance(value, dict) else value


SoftmaxUnit = Annotated[
    Annotated[
        ExactSoftmax
        | PolynomialSoftmax
        | Base2Softmax
        | ConstantSoftmax
        | HardSigmoid
        | TableSoftmax
        | LogarithmSoftmax
        | RangeSoftmax,
        Field(discriminator="kind"),
    ],
    BeforeValidator(kind_of_unit),
]
NormUnit = Annotated[
    Annotated[ExactNorm | IntegerNorm | TableNorm, Field(discriminator="kind")], BeforeValidator(kind_of_unit)
]
ActivationUnit = Annotated[
    Annotated[ExactActivation | PolynomialActivation | TableActivation | RangeActivation, Field(discriminator="kind")],
    BeforeValidator(kind_of_unit),
]
