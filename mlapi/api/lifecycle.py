"""Whether the process takes traffic."""

from enum import StrEnum


class Phase(StrEnum):
    """The life of a process."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class Lifecycle:
    """The one mutable thing that routes, lifespan and signal handling share."""

    def __init__(self) -> None:
        self.phase = Phase.STARTING

    def open(self) -> None:
        """Take traffic, unless the process was told to stop in the meantime."""
        if self.phase is Phase.STARTING:
            self.phase = Phase.READY

    def drain(self) -> None:
        """Tell the load balancer to look elsewhere; requests that come all the same are still served."""
        self.phase = Phase.DRAINING
