"""Generation: how long the text that a chip writes stays with what the digital run writes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from cimstudy.errors import InputError
from cimstudy.hardware import Hardware
from cimstudy.metric import Metric
from cimstudy.transformer import Chip
from cimstudy.transformer.generation import generate
from cimstudy.workloads.on_chip import OnChip, loaded
from cimstudy.workloads.texts import checksum
from cimstudy.workloads.windows import encoded

Array = np.ndarray[Any, np.dtype[Any]]

SCORES = {
    "departure": Metric(
        long_name="tokens until the text departs from the digital run's", units="token", better="higher"
    ),
    "agreement": Metric(long_name="share of tokens that are the digital run's", better="higher", bounds=(0, 1)),
    "position_agreement": Metric(
        long_name="share of texts whose token is the digital run's", better="higher", bounds=(0, 1), dims=("position",)
    ),
    "prompt_departure": Metric(
        long_name="tokens until each text departs from the digital run's",
        units="token",
        better="higher",
        dims=("prompt",),
    ),
}


class Generation(OnChip):
    """Texts written after prompts that lie evenly spread over a text.

    At `temperature` 0 the most likely token is taken; above, tokens are drawn, with the same draws on the chip as in
    the digital run.
    """

    text: str = Field(default="bundled", description="'bundled', a text file, or tokens in an .npy file")
    prompts: Annotated[int, Field(ge=1)] = Field(default=8, description="texts to begin")
    prompt_tokens: Annotated[int, Field(ge=1)] = Field(default=32, description="of each prompt")
    new_tokens: Annotated[int, Field(ge=1)] = Field(default=32, description="to write after each prompt")
    temperature: Annotated[float, Field(ge=0)] = Field(default=0.0, description="0: the most likely token")
    seed: Annotated[int, Field(ge=0)] = Field(default=0, description="of the draws, with a temperature")

    @property
    def scores(self) -> Mapping[str, Metric]:
        """What `score` returns."""
        return SCORES

    @property
    def coordinates(self) -> Mapping[str, Sequence[Any]]:
        """Labels along the metrics' own dimensions."""
        return {**super().coordinates, "position": range(1, self.new_tokens + 1)}

    def calibration(self) -> Array:
        """Tokens for the calibration of converters: the prompts, (prompts, T)."""
        text = encoded(self.model, self.text)
        if len(text) < self.prompt_tokens:
            raise InputError(f"the text {self.text!r} has {len(text)} tokens; allowed: at least {self.prompt_tokens}")
        starts = np.linspace(0, len(text) - self.prompt_tokens, self.prompts).astype(int)
        return np.stack([text[start : start + self.prompt_tokens] for start in starts])

    def outputs(self, chip: Chip) -> Iterator[Array]:
        """The tokens that a chip writes, (prompts, new_tokens)."""
        prompts = self.calibration()
        lengths = np.full(len(prompts), self.prompt_tokens)
        yield generate(chip, prompts, lengths, self.new_tokens, temperature=self.temperature, seed=self.seed)

    def score(self, found: Iterable[Array], expected: Iterable[Array]) -> dict[str, Any]:
        """Metrics of a chip's texts beside the digital run's."""
        same = np.concatenate(list(found)) == np.concatenate(list(expected))
        departures = np.where(same.all(axis=1), self.new_tokens, same.argmin(axis=1)).astype(np.float64)
        return {
            "departure": float(departures.mean()),
            "agreement": float(same.mean()),
            "position_agreement": same.mean(axis=0),
            "prompt_departure": departures,
        }

    def data_checksum(self) -> str:
        """SHA-256 of the prompts, hex."""
        return checksum(self.calibration().tolist())

    def check(self, hardware: Hardware) -> None:
        """Raise InputError unless the model writes, prompt and text fit its context, and the hardware fits."""
        config = loaded(self.model).config
        if not config.causal or config.head != "tokens":
            raise InputError(f"model {self.model!r} does not predict the next token; allowed: decoders with a head")
        if self.prompt_tokens + self.new_tokens > config.context:
            raise InputError(
                f"prompt_tokens + new_tokens = {self.prompt_tokens + self.new_tokens}; allowed: at most "
                f"{config.context}, the model's context"
            )
        super().check(hardware)
