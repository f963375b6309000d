"""How a step of the loop fails."""


class StepError(Exception):
    """A step did not succeed, and may when it is attempted again; the message says why."""


class RefusedError(Exception):
    """A command worked, and found that the model is not good enough; the message says in what."""


class StaleOverlayError(Exception):
    """The overlay does not name the model that it should name before the change; nothing was changed."""
