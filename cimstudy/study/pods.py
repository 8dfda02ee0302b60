"""Pods of a Kubernetes cluster, through the Dask operator."""

import secrets
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Any, TypeVar

from pydantic import Field
from typing_extensions import override

from cimstudy.errors import InputError
from cimstudy.study.daskconfig import environment
from cimstudy.study.deployment import ABANDONED, PATIENCE, Remote, Seconds, Text, dumped, found

T = TypeVar("T")


class Kubernetes(Remote):
    """Pods of the Dask operator (`dask_kubernetes.operator.KubeCluster`), which replaces those that end."""

    image: Text  # holds the same cimstudy and Dask as the client
    workers: int = Field(ge=1)
    name: str = Field(default="cimstudy", pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=40)
    namespace: Text | None = None
    cpu: Text = "1"
    memory: Text
    death_timeout: Seconds = 300
    env: dict[str, str] = Field(default={})

    def spec(self, suffix: str) -> dict[str, Any]:
        """The manifest of the operator's resource. suffix: ends its name, and is new for every run."""
        make_cluster_spec = found("dask_kubernetes.operator", "kubernetes", "make_cluster_spec")
        resources = {"cpu": self.cpu, "memory": self.memory}
        manifest: dict[str, Any] = make_cluster_spec(
            name=f"{self.name}-{suffix}",
            image=self.image,
            n_workers=self.workers,
            resources={"requests": resources, "limits": resources},
            env=environment() | self.env,
            worker_command=f"dask worker --nthreads 1 --death-timeout {self.death_timeout}",
            idle_timeout=ABANDONED,
        )
        return manifest

    @override
    def show(self) -> str:
        return dumped(self.spec("RUN"))

    @property
    @override
    def size(self) -> int:
        return self.workers

    @property
    @override
    def awaited(self) -> str:
        where = "" if self.namespace is None else f" --namespace {self.namespace}"
        return f"pods (`kubectl get pods{where} --selector dask.org/cluster-name` lists them)"

    @override
    def start(self) -> Any:
        cluster_class = found("dask_kubernetes.operator", "kubernetes", "KubeCluster")
        options = {"custom_cluster_spec": self.spec(secrets.token_hex(3)), "namespace": self.namespace, "quiet": True}
        try:
            found("kr8s", "kubernetes", "api")().version()  # a failed KubeCluster complains once more at the very end
            return within(PATIENCE, lambda: cluster_class(**options))
        except Exception as error:  # of one of the three libraries below
            reason = str(error) or f"{type(error).__name__} (after {PATIENCE:g} s at most)"
            raise InputError(f"{self.awaited}: the cluster did not start: {reason}") from error


def within(seconds: float, call: Callable[[], T]) -> T:
    """What a call gives that may never return. Raises TimeoutError after so long, and lets it be."""
    future = Future[T]()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - the waiting thread's
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future.result(seconds)
