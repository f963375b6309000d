"""What a bundle says of the answers to some texts: what drift is measured against."""

import msgspec

from mlapi.bundles.manifest import Manifest, shares
from mlapi.observability.drift import BOUNDS, LABEL, Sample


def referred(manifest: Manifest, sample: Sample) -> Manifest:
    """Return a manifest that says how a sample is distributed; the bundle's digest is the same."""
    return msgspec.structs.replace(
        manifest,
        reference=shares(manifest.labels, sample.shares(LABEL)),
        reference_bins={feature: found for feature in BOUNDS if (found := sample.shares(feature))},
        reference_texts=sample.texts,
    )
