"""Names the wire formats that are served, each with its routes."""

from collections.abc import Callable, Sequence

from mlapi.dialects import fms, hugging_face, kserve, open_inference, problems, sagemaker, tei, vllm
from mlapi.dialects.base import WireFormat
from mlapi.dialects.native import NativeDialect


def wire_formats(*, clock: Callable[[], float], new_id: Callable[[], str]) -> Sequence[WireFormat]:
    """Return them in the order in which they are documented.

    Args:
        clock: tells seconds since 1970, for formats whose answers have a date.
        new_id: makes an id, for formats whose answers have one.
    """
    return (
        WireFormat(
            tag="predictions",
            description="The service's own interface.",
            refuse=problems.problem,
            predictions={
                "predict": NativeDialect("Classify one or a few texts"),
                "bulk-predict": NativeDialect("Classify many texts", lines=True),
            },
            at_root=False,
            streams="bulk-predict",
        ),
        hugging_face.wire_format(),
        tei.wire_format(),
        vllm.wire_format(clock=clock, new_id=new_id),
        kserve.wire_format(),
        open_inference.wire_format(),
        sagemaker.wire_format(),
        fms.wire_format(),
    )
