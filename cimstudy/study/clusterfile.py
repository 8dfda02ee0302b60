"""Cluster files: which kinds there are, and how one is read."""

from pathlib import Path
from typing import Any

import yaml

from cimstudy.errors import InputError
from cimstudy.study.batch import Pbs, Slurm
from cimstudy.study.deployment import Deployment
from cimstudy.study.machines import Local, Ssh
from cimstudy.study.pods import Kubernetes

KINDS: dict[str, type[Local | Slurm | Pbs | Ssh | Kubernetes]] = {
    "local": Local,
    "slurm": Slurm,
    "pbs": Pbs,
    "ssh": Ssh,
    "kubernetes": Kubernetes,
}


def described(cluster: Any) -> Any:
    """The cluster that a file describes, if this names a file; or else what is given."""
    is_file = isinstance(cluster, Path) or (isinstance(cluster, str) and cluster.endswith((".yaml", ".yml")))
    return read_deployment(Path(cluster)) if is_file else cluster


def size_of(cluster: Any) -> int | None:
    """How many workers a cluster file asks for; None if it does not say, or there is none."""
    deployment = described(cluster)
    return deployment.size if isinstance(deployment, Deployment) else None


def read_deployment(path: Path) -> Deployment:
    """The cluster that a file describes. Raises InputError, naming the file, what is wrong and what is allowed."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such cluster file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not YAML ({' '.join(str(error).split())})") from None
    kind = values.pop("kind", None) if isinstance(values, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise InputError(f"{path}: kind = {kind!r}; allowed: {', '.join(KINDS)}")
    try:
        return KINDS[kind](**{str(name): value for name, value in values.items()})
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
