"""Writes `docs/licences.md`, the licences of everything that is pinned, and says which of them are not allowed.

    python -m tools.licences           fail for a package of ours without a row, a row without a package, or a licence
                                       that is not allowed where the package goes
    python -m tools.licences write     write the page anew from what is installed, here and below `.tools`

A package that is not installed keeps its row.
"""

import json
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from tools.advisories import pins

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "licences.md"
_RULES: Final = ROOT / "requirements" / "licences.toml"
_ROW: Final = re.compile(r"^\| `([^`]+)` \| ([^|]+?) \| ([^|]+?) \|$", re.MULTILINE)
_SHIPPED: Final = ("serve", "learn", "ray", "torch")
_TOOL: Final = "tools"
_OURS: Final = frozenset({"full.txt", *(f"{name}.txt" for name in _SHIPPED)})
_RENEW: Final = "python -m tools.licences write"

_PAGE: Final = """\
# Licences

What each pinned package says of its licence, as an SPDX expression, and the images that it goes into; the others are \
tools for building, training and testing, and are not passed on. `python -m tools.licences write` writes this page, \
`make check` compares it with `requirements/*.txt` and with the licences that `requirements/licences.toml` allows. \
What Debian adds to an image stands in its bill of materials (`tools/image.sh bom`).

## Python

| package | licence | goes into |
|---|---|---|
{python}
## Models

| model | licence | goes into |
|---|---|---|
{models}
## Programs in Go

Built from `tools/go.mod` and `tools/keda/go.mod` for tests and load tests, with the modules that those files list; \
passed on with nothing.

| program | licence | goes into |
|---|---|---|
{go}"""


def rules() -> Mapping[str, Mapping[str, object]]:
    """Return `requirements/licences.toml`."""
    return tomllib.loads(_RULES.read_text(encoding="utf-8"))


def places(names: Iterable[str]) -> Mapping[str, str]:
    """Return where each pinned package goes: the images, or none of them."""
    files: dict[str, set[str]] = {}
    for pin in pins():
        files.setdefault(pin.name, set()).add(pin.file.removesuffix(".txt"))
    return {name: ", ".join(item for item in _SHIPPED if item in files.get(name, ())) or _TOOL for name in names}


def spdx(found: Distribution, words: Mapping[str, object]) -> str:
    """Return what a package says of its licence as an SPDX expression; empty: nothing that is understood."""
    metadata = found.metadata
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    said = [metadata["License"] or ""] if "License" in metadata else []
    said += [line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier") or () if line.startswith("License ")]
    for phrase in said:
        if known := words.get(phrase.strip().partition("\n")[0]):
            return str(known)
    return ""


def installed() -> dict[str, Distribution]:
    """Return every distribution of this environment and of those below `.tools`."""
    folders = [str(path) for path in sorted(ROOT.glob(".tools/*/lib/python3*/site-packages"))]
    found = [*distributions(path=folders), *distributions()]
    return {canonicalize_name(item.name): item for item in found}


def rows(page: str) -> dict[str, tuple[str, str]]:
    """Read a page: the licence of each name, and where it goes."""
    return {name: (licence, place) for name, licence, place in _ROW.findall(page)}


def allowed(licence: str, accepted: Iterable[str]) -> bool:
    """Tell whether an expression can be satisfied by licences that are accepted.

    Brackets are left out of account: what is found allowed is, and a bracketed AND within an OR may be refused wrongly.
    """
    known, plain = {*accepted}, licence.replace("(", "").replace(")", "")
    return all(any(choice in known for choice in part.split(" OR ")) for part in plain.split(" AND "))


def faults(page: str, given: Mapping[str, Mapping[str, object]], found: Mapping[str, Distribution]) -> list[str]:
    """Return what is wrong with a page."""
    listed = rows(page)
    names = sorted({pin.name for pin in pins()})
    # What environments of their own hold, apart from the project's, is passed on to nobody: `main` warns of those.
    ours = {pin.name for pin in pins() if pin.file in _OURS}
    wrong = [f"{name} has no row: {_RENEW}" for name in names if name not in listed and name in ours]
    wrong += [] if names else ["nothing is pinned: nothing was compared"]
    others = {*models(), *map(str, given["go"])}
    wrong += [f"{name} is not pinned any more" for name in listed if name not in names and name not in others]
    wrong += [f"{name} has no row: {_RENEW}" for name in sorted(others) if name not in listed]
    goes = places(names)
    for name, (licence, place) in listed.items():
        if name in goes and goes[name] != place:
            wrong.append(f"{name} goes into {goes[name]}, not {place}")
        for image in place.split(", "):
            accepted = [*_strings(given["allowed"]["everywhere"]), *_strings(given["allowed"].get(image, ()))]
            if not allowed(licence, accepted):
                wrong.append(f"{name}: {licence} is not allowed in {image}")
        said = spdx(found[name], given["words"]) if name in found else ""
        if said and said != licence and name not in given["by_hand"]:
            wrong.append(f"{name} says {said}, not {licence}")
    return wrong


def _strings(value: object) -> Sequence[str]:
    return [str(item) for item in value] if isinstance(value, list | tuple) else []


def models() -> dict[str, str]:
    """Return the licences of the models that are shipped."""
    manifests = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(ROOT.glob("models/*/bundle.json"))]
    return {manifest["name"]: manifest["provenance"]["licence"] for manifest in manifests}


def write(page: str) -> str:
    """Return the page anew; what is not installed keeps its row."""
    given, found, listed = rules(), installed(), rows(page)
    names = sorted({pin.name for pin in pins()})
    goes = places(names)

    def licence(name: str) -> str:
        by_hand = given["by_hand"].get(name)
        said = spdx(found[name], given["words"]) if name in found else ""
        return str(by_hand or said or listed.get(name, ("unknown", ""))[0])

    return _PAGE.format(
        python="".join(f"| `{name}` | {licence(name)} | {goes[name]} |\n" for name in names),
        models="".join(f"| `{name}` | {said} | serve |\n" for name, said in models().items()),
        go="".join(f"| `{name}` | {said} | {_TOOL} |\n" for name, said in sorted(given["go"].items())),
    )


def main() -> int:
    """Write the page, or check it."""
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    if sys.argv[1:] == ["write"]:
        PAGE.write_text(write(page), encoding="utf-8")
        return 0
    if sys.argv[1:]:
        sys.stderr.write(__doc__ or "")
        return 2
    wrong = faults(page, rules(), installed())
    unlisted = {pin.name for pin in pins()} - rows(page).keys()
    told = [*wrong, *(f"{name} of a tool has no row: {_RENEW}" for name in sorted(unlisted))]
    for line in told:
        sys.stderr.write(f"licences: {line}\n")
    sys.stdout.write(f"licences: {len(rows(page))} rows\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
