"""How a run ends early. Either way, what is in the store stays, and the same call goes on from there."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after everything was closed. `resume`: the line that goes on where this run stopped."""

    def __init__(self, resume: str) -> None:
        super().__init__(f"interrupted; to go on: {resume}")
        self.resume = resume


class ClusterLostError(RuntimeError):
    """The scheduler went away."""


class StoreLostError(ConnectionError):
    """The object store gives no answer, or none of use, after several tries."""
