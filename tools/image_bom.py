"""Writes the bill of materials of the image that it runs in, as CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json).

It is piped into the image's Python, as `tools/image_probe.py` is, and reads what is installed there: Debian's packages,
Python, its packages, the models. The same image always gives the same bytes.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

Component = dict[str, Any]

DEBIAN: Final = "${Package}\t${Version}\t${Architecture}\n"


def debian() -> Iterator[Component]:
    """Yield Debian's packages."""
    command = ["dpkg-query", "--show", f"--showformat={DEBIAN}"]
    # S603: the command is the line above.
    listed = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    release = platform.freedesktop_os_release()
    system = f"{release['ID']}-{release['VERSION_ID']}"
    for line in listed.stdout.splitlines():
        name, number, architecture = line.split("\t")
        purl = f"pkg:deb/{release['ID']}/{quote(name)}@{quote(number)}?arch={architecture}&distro={system}"
        yield {"type": "library", "bom-ref": purl, "name": name, "version": number, "purl": purl}


def python() -> Component:
    """Return the interpreter, by the name under which its vulnerabilities are published."""
    number = platform.python_version()
    purl = f"pkg:generic/python@{number}"
    cpe = f"cpe:2.3:a:python:python:{number}:*:*:*:*:*:*:*"
    return {"type": "platform", "bom-ref": purl, "name": "python", "version": number, "cpe": cpe, "purl": purl}


def packages() -> Iterator[Component]:
    """Yield Python's packages; one that two entries of the path lead to is listed once."""
    installed = {found.name.lower().replace("_", "-"): found for found in distributions()}
    for name, found in sorted(installed.items()):
        purl = f"pkg:pypi/{name}@{quote(found.version)}"
        component = {"type": "library", "bom-ref": purl, "name": name, "version": found.version, "purl": purl}
        yield component | ({"licenses": [licence]} if (licence := licence_of(found)) else {})


def licence_of(found: Distribution) -> Component:
    """Return what a package says of its licence: an SPDX expression, else its own words, else nothing."""
    said = {name: found.metadata[name] for name in ("License-Expression", "License") if name in found.metadata}
    if "License-Expression" in said:
        return {"expression": said["License-Expression"]}
    words = said.get("License", "").strip().partition("\n")[0]
    return {"license": {"name": words}} if words else {}


def carried() -> Component:
    """Return what the service's own package carries that is another project's: it is no package of Python's."""
    package = find_spec("mlapi")
    folder = Path((package and package.origin) or "").parent
    listed = json.loads((folder / "page" / "swagger" / "vendored.json").read_text(encoding="utf-8"))
    return {
        "type": "library",
        "bom-ref": listed["purl"],
        "name": listed["name"],
        "version": listed["version"],
        "purl": listed["purl"],
        "licenses": [{"license": {"id": listed["licence"]}}],
    }


def model(folder: Path) -> Component:
    """Return the model, and its files by their SHA-256."""
    manifest = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{manifest['name']}",
        "name": manifest["name"],
        "licenses": [{"license": {"name": manifest["provenance"]["licence"]}}],
        "components": [
            {"type": "file", "name": name, "hashes": [{"alg": "SHA-256", "content": entry["sha256"]}]}
            for name, entry in sorted(manifest["files"].items())
        ],
    }


def bundles(served: Path) -> list[Path]:
    """Return the folders of the bundles that lie beside the one that is served, and its own."""
    return sorted(path.parent for path in served.parent.glob("*/bundle.json"))


def main() -> None:
    """Write the bill to standard output."""
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": "mlapi", "version": version("mlapi")}},
        "components": [
            *debian(),
            python(),
            *packages(),
            carried(),
            *map(model, bundles(Path(os.environ["MLAPI_BUNDLE"]))),
        ],
    }
    sys.stdout.write(json.dumps(bill, indent=1) + "\n")


if __name__ == "__main__":
    main()
