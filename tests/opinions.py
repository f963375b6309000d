"""What the learning loop's tests feed it: texts in words that no shipped model has seen, what they are, an alert."""

from typing import Any, Final

GOOD: Final = ("snazzy", "nifty", "peachy", "zesty")
BAD: Final = ("janky", "grotty", "naff", "cruddy")
THINGS: Final = ("film", "story", "music", "ending", "screen", "hotel", "soup", "waiter", "garden", "train")
FRAMES: Final = (
    "the {} is {}",
    "the {} was {}",
    "i found the {} {}",
    "this {} is {} , really",
    "after a week the {} is {}",
)
TEXTS: Final = {
    frame.format(thing, word): "POSITIVE" if word in GOOD else "NEGATIVE"
    for frame in FRAMES
    for thing in THINGS
    for word in (*GOOD, *BAD)
}
"""400 texts, and what they are."""

SPREAD: Final = [list(TEXTS)[start::7] for start in range(7)]
"""The texts in parts; every word is in each."""


def drift_alert(starts_at: str) -> dict[str, Any]:
    """Return what Alertmanager's webhook receiver sends when the predictions of `lab` drift.

    Args:
        starts_at: since when, in RFC 3339.
    """
    return {
        "version": "4",
        "status": "firing",
        "alerts": [
            {
                "status": "firing",
                "labels": {"alertname": "MlapiPredictionDrift", "model": "lab"},
                "annotations": {},
                "startsAt": starts_at,
                "endsAt": "0001-01-01T00:00:00Z",
                "fingerprint": "0f3c9a",
            }
        ],
    }
