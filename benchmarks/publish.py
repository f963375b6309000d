"""Puts the committed results into the documentation: `python -m benchmarks.publish [--check]`.

A document says where: whatever stands between `<!-- results: NAME -->` and `<!-- end -->` is replaced. So no figure is
typed by hand, and a test can tell whether the documents are those of the results. All rows of all records go to a page
beside them.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from benchmarks import chart, gpu_report, report, results, targets
from benchmarks.catalogue import ROOT
from benchmarks.results import Table

RESULTS: Final = Path(__file__).parent / "results"
DOCUMENTS: Final = ("README.md", "docs/performance.md")
ROWS: Final = RESULTS / "rows.md"
RECORDS: Final[Mapping[str, str]] = {
    "comparison.json": "On a processor with VNNI and AMX",
    "avx2.json": "On a processor with AVX2 alone",
    "other-servers.json": "Other servers, on a processor with AVX2 alone",
}
"""The records whose rows are published, and what each says."""

_CHART: Final = "docs/performance.svg"
_OPENING: Final = re.compile(r"<!-- results: (.*?) -->")
_PLACE: Final = re.compile(rf"({_OPENING.pattern}\n).*?(<!-- end -->)", re.DOTALL)
_NOT_YET: Final = "Not measured yet: there are no results in `benchmarks/results/`.\n"
_NO_GPU: Final = "Not measured: no GPU was there. What runs on one is covered by the tests on the processor alone.\n"


def parts(folder: Path) -> dict[str, str]:
    """Return what can be put into documents, by name."""
    table, device = _table(folder / "comparison.json"), folder / "gpu.json"
    made: Mapping[str, Callable[[Table], str]] = {
        "conditions": report.conditions,
        "targets": lambda known: "\n".join(targets.render(known)),
        "peers": lambda known: "\n".join(report.peers(known)),
        "limits": lambda known: "\n".join(report.limits(known)),
        "doubts": lambda known: "\n".join(report.remarks(known)) or "None.",
        "summary": lambda known: "\n".join(report.summary(known)),
    }
    found = {name: make(table) + "\n" if table else _NOT_YET for name, make in made.items()}
    return found | {"gpu": gpu_report.render(device.read_bytes()) if device.exists() else _NO_GPU}


def fill(document: str, known: Mapping[str, str]) -> str:
    """Return a document with the parts in their places.

    Raises:
        KeyError: a place names a part that there is not.
        ValueError: a place has no end, so that nothing would be put into it.
    """
    filled, count = _PLACE.subn(lambda place: f"{place[1]}\n{known[place[2]]}\n{place[3]}", document)
    if count != len(_OPENING.findall(document)):
        msg = "a place for results does not end with <!-- end -->"
        raise ValueError(msg)
    return filled


def rows_page(folder: Path) -> str:
    """Return the page with every row of every record."""
    return "\n".join(["# Every row", "", "`python -m benchmarks.publish` writes this page.", *_records(folder)])


def _records(folder: Path) -> Iterator[str]:
    for name, title in RECORDS.items():
        table = _table(folder / name)
        yield f"\n## {title}: `{name}`\n"
        yield report.sections(table).replace("\n## ", "\n### ") if table else _NOT_YET


def _table(file: Path) -> Table | None:
    return Table(results.read(file)) if file.exists() else None


def main() -> None:
    """Write the documents; with `--check` only say, by the exit code, whether they are fresh."""
    known, stale = parts(RESULTS), []
    wanted = {ROOT / name: fill((ROOT / name).read_text(encoding="utf-8"), known) for name in DOCUMENTS}
    wanted[ROWS] = rows_page(RESULTS)
    if comparison := _table(RESULTS / "comparison.json"):
        wanted[ROOT / _CHART] = chart.render(comparison)
    for path, text in wanted.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
            if "--check" not in sys.argv[1:]:
                path.write_text(text, encoding="utf-8")
    if "--check" in sys.argv[1:] and stale:
        sys.exit(f"not those of the results: {', '.join(stale)}; run python -m benchmarks.publish")


if __name__ == "__main__":
    main()
