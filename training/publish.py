"""Puts the figures of `training/results` into docs/training.md, between the marks that name them.

python -m training.publish
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from training.stages import RESULTS
from training.workspace import read_json

PAGE: Final = Path(__file__).parents[1] / "docs" / "training.md"


def ratio(found: Mapping[str, Any]) -> str:
    """Return a share with its interval."""
    return f"{found['value']:.4f} ({found['low']:.3f}–{found['high']:.3f})"


def comparison(results: Path) -> str:
    """Return the table of classifiers and features."""
    found = read_json(results / "comparison.json")
    lines = [
        "| features | terms | classifier | accuracy | recall of NEGATIVE | recall of POSITIVE |",
        "|---|---|---|---|---|---|",
    ]
    for row in found["rows"]:
        recalls = " | ".join(ratio(row["recall"][label]) for label in ("NEGATIVE", "POSITIVE"))
        lines.append(
            f"| {row['features']} | {row['terms']} | {row['classifier']} | {ratio(row['accuracy'])} | {recalls} |"
        )
    return "\n".join(lines)


def languages(results: Path) -> str:
    """Return the table of bundles and languages."""
    found = read_json(results / "languages.json")
    lines = [
        "| language | " + " | ".join(f"`{bundle['name']}`" for bundle in found) + " |",
        "|---" * (1 + len(found)) + "|",
    ]
    for language in found[0]["languages"]:
        cells = [ratio(bundle["languages"][language]["accuracy"]) for bundle in found]
        lines.append(f"| {language} | {' | '.join(cells)} |")
    guesses = [f"{1 / len(bundle['labels']):.4f}" for bundle in found]
    lines.append(f"| always the same label | {' | '.join(guesses)} |")
    return "\n".join(lines)


def models(results: Path) -> str:
    """Return the table of every model that was trained, with its sets, labels, behaviour and bias."""
    lines = ["| model | set | texts | accuracy | balanced | ECE | recall by label |", "|---|---|---|---|---|---|---|"]
    for model, metrics in _judged(results).items():
        for name, found in metrics["sets"].items():
            recalls = ", ".join(f"{label} {ratio(part['recall'])}" for label, part in found["labels"].items())
            lines.append(
                f"| {model} | {name} | {found['accuracy']['of']} | {ratio(found['accuracy'])} "
                f"| {found['balanced_accuracy']:.4f} | {found['ece']:.3f} | {recalls} |"
            )
    return "\n".join(lines)


def behaviour(results: Path) -> str:
    """Return the table of behavioural tests and of the largest gap between groups of people."""
    found = _judged(results)
    lines = ["| test | " + " | ".join(found) + " |", "|---" * (1 + len(found)) + "|"]
    tests = next(iter(found.values()))["behaviour"]
    lines += [
        f"| {test} | " + " | ".join(ratio(model["behaviour"][test]) for model in found.values()) + " |"
        for test in tests
    ]
    gaps = " | ".join(f"{model['bias_gap']:.3f}" for model in found.values())
    return "\n".join([*lines, f"| largest gap between groups | {gaps} |"])


def _judged(results: Path) -> dict[str, Any]:
    """Return the figures of what the stages have trained, and of the bundles that were judged as they are."""
    trained = {f"`{file.parent.name}`": read_json(file) for file in sorted(results.glob("*/metrics.json"))}
    return trained | {f"`{file.stem}`, as shipped": read_json(file) for file in sorted(results.glob("judged/*.json"))}


TABLES: Final[Mapping[str, Callable[[Path], str]]] = {
    "comparison": comparison,
    "models": models,
    "behaviour": behaviour,
    "languages": languages,
}


def fill(page: str, results: Path) -> str:
    """Return a page with its tables as the results have them.

    Raises:
        ValueError: the page does not have the marks of each table exactly once.
    """
    for name, table in TABLES.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if page.count(begin) != 1 or page.count(end) != 1:
            msg = f"the page needs {begin} and {end}, once each"
            raise ValueError(msg)
        content = table(results)
        page = re.sub(f"{begin}.*?{end}", lambda _, text=f"{begin}\n{content}\n{end}": text, page, flags=re.DOTALL)  # type: ignore[misc]
    return page


def main() -> None:
    """Rewrite the page."""
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), RESULTS), encoding="utf-8")


if __name__ == "__main__":
    main()
