from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlapi.classifier import Classifier

__all__ = ["Classifier"]


def __getattr__(name: str) -> object:
    # Not imported before it is asked for: this module is the first that every command imports (PEP 562).
    if name != "Classifier":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from mlapi.classifier import Classifier  # noqa: PLC0415  as above

    return Classifier
