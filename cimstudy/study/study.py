"""Study: a workload, a hardware, what to vary, how many chips: a value that can be printed, hashed, stored and run."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from pydantic import Field, model_validator

from cimstudy.errors import InputError
from cimstudy.hardware import Hardware, Part
from cimstudy.study.codec import decode, describe, digest
from cimstudy.study.place import location
from cimstudy.study.resolve import Resolution, Resolved, Resolver, first_same, resolve_table
from cimstudy.study.shipping import code_of
from cimstudy.study.space import Grid, Space
from cimstudy.study.stopping import Trials, least, most
from cimstudy.study.table import Point
from cimstudy.study.workload import check_workload, checksums_of, metrics_of

if TYPE_CHECKING:
    import xarray as xr

    from cimstudy.study.plan import DryRun


class Study(Part):
    """`workload` on `trials` chips at every point of `space`, starting from `hardware`.

    `trials` is a number, or a rule (`Trials`) that gives every point as many as its intervals need.

    Axes are dotted paths of the hardware (`device.programming.std`), whole parts (`device`), or fields of the workload
    (`workload.time`). Equal seeds and trials are equal chips, at every point.
    """

    name: str = Field(min_length=1, pattern=r"^[^\n]*$")
    workload: Any
    hardware: Hardware = Hardware()
    space: Space = Grid()
    trials: Annotated[int, Field(ge=1)] | Trials = 1
    seed: int = Field(default=0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _workload_can_be_named(self) -> Self:
        check_workload(self.workload)
        describe(self.workload)
        return self

    @model_validator(mode="after")
    def _axes_lead_somewhere(self) -> Self:
        roots = [*Hardware.model_fields, "workload"]
        for axis in self.space.varied():
            root, _, rest = axis.path.partition(".")
            if root not in roots or axis.path == "workload":
                raise InputError(
                    f"axis {axis.path}: unknown; an axis starts with {', '.join(roots[:-1])} or workload.<field>"
                )
            if root == "workload" and not isinstance(self.workload, Part):
                raise InputError(
                    f"axis {axis.path}: the workload {type_of(self.workload)} is no Part and has no field {rest!r}"
                )
        return self

    @model_validator(mode="after")
    def _trials_watch_metrics(self) -> Self:
        if metrics_of(self.workload):
            self.check_trials(metrics_of(self.workload))
        return self

    @property
    def most_trials(self) -> int:
        """The most chips that a point may get."""
        return most(self.trials)

    @property
    def least_trials(self) -> int:
        """The chips that every point gets."""
        return least(self.trials)

    def check_trials(self, names: Iterable[str]) -> None:
        """Raise InputError if the rule of `trials` is not about these metrics."""
        if isinstance(self.trials, Trials):
            self.trials.check(tuple(names), metrics_of(self.workload))

    def resolve(self, point: Point) -> Resolved:
        """What this point is. Raises InputError, naming what is allowed, if there is no such hardware or workload."""
        return Resolver(self.hardware, self.workload)(point)

    def point_hardware(self, point: Point) -> Hardware:
        """The hardware at this point."""
        return self.resolve(point).hardware

    def resolve_all(self) -> Resolution:
        """What the points of the space are: the whole study is sound, or one InputError names all that is not.

        A point that the space has twice counts once. A grid must not have any: one of its axes changes nothing then.
        """
        check = (lambda resolved: resolved.workload.check(resolved.hardware)) if has_check(self.workload) else None
        found = resolve_table(Resolver(self.hardware, self.workload), self.space.table(), check)
        first = first_same(found.identities)
        again = np.flatnonzero(first != np.arange(len(found)))
        if not again.size:
            return found
        if isinstance(self.space, Grid):
            raise InputError(f"points {first[again[0]]} and {again[0]} of the space are the same; allowed: each once")
        return found.take(np.flatnonzero(first == np.arange(len(found))))

    def checksums(self) -> dict[str, str]:
        """Of the workload's model and data, and of its code if a study file holds that."""
        return checksums_of(self.workload) | code_of(self.workload)

    def to_json(self) -> str:
        """The study as JSON text, from which `from_json` makes an equal one."""
        rest = {"hardware": self.hardware, "space": self.space}
        parts = {name: part.model_dump(mode="json") for name, part in rest.items()}
        trials = self.trials if isinstance(self.trials, int) else self.trials.model_dump(mode="json")
        numbers = {"trials": trials, "seed": self.seed}
        return json.dumps(
            {"name": self.name, "workload": describe(self.workload), **parts, **numbers}, ensure_ascii=False
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The study of this text. Raises InputError if it is none, or if its workload cannot be imported."""
        try:
            values = json.loads(text)
            return cls(**values | {"workload": decode(values["workload"])})
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise InputError(
                f"this is not a study's JSON ({type(error).__name__}: {error}); allowed: what to_json gives"
            ) from None

    def hash(self) -> str:
        """32 hexadecimal digits that name this definition."""
        return digest(json.loads(self.to_json()))

    def run(  # noqa: PLR0913 - each an option of its own
        self,
        store: str | Path,
        *,
        cluster: Any = None,
        workers: int | None = None,
        block: tuple[int, int] | None = None,
        progress: bool = True,
        retry_failed: bool = False,
        case_timeout: float | None = None,
    ) -> "xr.Dataset":
        """Evaluate what the store lacks, and return `open_results(store)`.

        `cluster`: None for worker processes on this machine (`workers` of them, by default one for each core, or a
        single one for few cases that are evaluated as arrays), the address of a Dask scheduler, a file that describes a
        cluster (`.yaml`), or a Dask client. `block`: how many points and trials one task evaluates, by default from the
        measured time of a case. `case_timeout`: seconds after which a case is ended and counts as failed; the first
        case of a process also loads the model. Raises InputError before any work starts if the study is unsound or the
        store holds another one; Interrupted on Ctrl-C, after which the same call goes on.
        """
        from cimstudy.study.clusterfile import described  # noqa: PLC0415 - defining a study needs no cluster
        from cimstudy.study.runner import Run, carry_out  # noqa: PLC0415 - as above

        this = Run(
            study=self,
            resolved=self.resolve_all(),
            store=location(store),
            cluster=described(cluster),
            workers=workers,
            block=block,
            retry_failed=retry_failed,
            case_timeout=case_timeout,
        )
        return carry_out(this, progress=progress)

    def dry_run(
        self, store: str | Path, *, cluster: Any = None, workers: int | None = None, retry_failed: bool = False
    ) -> "DryRun":
        """What `run` would do, from one case timed here: cases, blocks, seconds, bytes, files. Writes nothing.

        The seconds are those of `workers`, by default as many as a cluster file asks for, or one for each core.
        """
        from cimstudy.study.clusterfile import size_of  # noqa: PLC0415 - as above
        from cimstudy.study.rehearse import dry_run  # noqa: PLC0415 - as above

        return dry_run(self, store, workers or size_of(cluster), retry_failed=retry_failed)


def type_of(workload: Any) -> str:
    """The name of a workload's function or class."""
    return str(describe(workload)["type"])


def has_check(workload: Any) -> bool:
    """Whether a workload looks at hardware before work starts."""
    return getattr(workload, "check", None) is not None
