"""Finds what is wrong with a set of labelled texts: labels, empty texts, duplicates, conflicts, leaks, lengths."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from training.lab import Texts
from training.params import Preprocessing

_EXAMPLES: Final = 3
_EXAMPLE_LENGTH: Final = 80


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found.

    Attributes:
        name: of the check.
        dataset: of the texts.
        found: how many texts it concerns.
        of: how many texts were looked at.
        stops: whether the training must not go on.
        limit: what is allowed, in words.
        examples: some of the texts, cut.
    """

    name: str
    dataset: str
    found: int
    of: int
    stops: bool
    limit: str
    examples: tuple[str, ...] = ()


def canonical(text: str) -> str:
    """Return a text without what makes no difference between two texts: case and spacing."""
    return " ".join(text.lower().split())


def check_rows(name: str, data: Texts, labels: Sequence[str], rules: Preprocessing) -> list[Check]:
    """Check each text for itself, and how many there are of each label."""
    size = len(data.texts)
    counts = Counter(data.labels.tolist())
    unknown = [text for text, label in zip(data.texts, data.labels.tolist(), strict=True) if label >= len(labels)]
    empty = [text for text in data.texts if not text.strip()]
    long = [text for text in data.texts if len(text) > rules.max_characters]
    control = [text for text in data.texts if any(ord(letter) < ord(" ") and letter != "\t" for letter in text)]
    return [
        Check("texts", name, size, size, size == 0, "at least one"),
        _some("unknown labels", name, unknown, size, limit="none"),
        _some("empty texts", name, empty, size, limit="none"),
        _some("control characters", name, control, size, limit="none"),
        _some("too long", name, long, size, limit=f"none above {rules.max_characters} characters"),
        *(
            Check(
                f"texts of {label}", name, counts[index], size, counts[index] < rules.min_texts,
                f"at least {rules.min_texts}",
            )
            for index, label in enumerate(labels)
        ),
    ]  # fmt: skip


def check_set(name: str, data: Texts, rules: Preprocessing) -> list[Check]:
    """Check texts against each other: those that occur again, and those that occur with several labels."""
    size = len(data.texts)
    several = conflicting(data)
    again = duplicates(data)
    return [
        _some("duplicates", name, [data.texts[place] for place in again], size, limit="any number", stops=False),
        Check(
            "conflicting labels", name, len(several), size, len(several) > rules.max_conflicts * size,
            f"at most {100 * rules.max_conflicts:g} % of the texts", _cut(data.texts[place] for place in several),
        ),
    ]  # fmt: skip


def check_leaks(train: Texts, evaluation: Mapping[str, Texts]) -> list[Check]:
    """Check that no text to learn from is one to judge with."""
    known = set(map(canonical, train.texts))
    return [
        _some(
            "also in the training texts", name, [text for text in data.texts if canonical(text) in known],
            len(data.texts), limit="none",
        )
        for name, data in evaluation.items()
    ]  # fmt: skip


def duplicates(data: Texts) -> list[int]:
    """Return the places of texts that were there before, with the same label."""
    seen: set[tuple[str, int]] = set()
    found = []
    for place, (text, label) in enumerate(zip(data.texts, data.labels.tolist(), strict=True)):
        key = (canonical(text), label)
        if key in seen:
            found.append(place)
        seen.add(key)
    return found


def conflicting(data: Texts) -> list[int]:
    """Return the places of texts that occur with several labels."""
    labels_of: dict[str, set[int]] = defaultdict(set)
    forms = [canonical(text) for text in data.texts]
    for form, label in zip(forms, data.labels.tolist(), strict=True):
        labels_of[form].add(label)
    return [place for place, form in enumerate(forms) if len(labels_of[form]) > 1]


def _some(check: str, name: str, texts: Sequence[str], size: int, *, limit: str, stops: bool = True) -> Check:
    return Check(check, name, len(texts), size, bool(texts) and stops, limit, _cut(texts))


def _cut(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(text[:_EXAMPLE_LENGTH] for text in [*texts][:_EXAMPLES])
