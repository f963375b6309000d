"""Stands in for docker: remembers what was built, examined, logged in to and pushed, in a JSON file."""

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

STATE: Final = Path(os.environ["FAKE_STATE"])


def _run(state: dict[str, Any], probe: str) -> int:
    """Run a program in a container."""
    if "bomFormat" in probe:
        sys.stdout.write('{"bomFormat": "CycloneDX"}\n')
        return 0
    state["examined"].append("serving" in probe)
    STATE.write_text(json.dumps(state), encoding="utf-8")
    return int(state["bad_image"])


def _join(state: dict[str, Any], name: str, parts: list[str]) -> bool:
    """Push one name for several images, if they are all there."""
    repository, _, tag = name.partition("/")[2].partition(":")
    known = state["repositories"][repository]
    if not parts or any(part.rpartition(":")[2] not in known for part in parts):
        return False
    known[tag] = "sha256:4567"
    return True


def main(words: list[str]) -> int:
    """Answer one call; return the exit code."""
    state = json.loads(STATE.read_text(encoding="utf-8"))
    match words:
        case ["info"]:
            return 0
        case ["build", *options]:
            name = options[options.index("--tag") + 1]
            state["built"][name] = sorted(value for value in options if "=" in value)
        case ["run", *_]:
            probe = sys.stdin.read()
            return _run(state, probe)
        case ["login", *options]:
            state["logins"].append([*options, sys.stdin.read().strip()])
        case ["pull", name]:
            return 0 if "@sha256:" in name else 1
        case ["push", name]:
            registry, _, image = name.partition("/")
            repository, _, tag = image.partition(":")
            if not [login for login in state["logins"] if registry in login] or name not in state["built"]:
                return 1
            state["repositories"][repository][tag] = "sha256:0123"
        case ["buildx", "imagetools", "create", "--tag", name, *parts] if _join(state, name, parts):
            pass
        case _:
            return 125
    STATE.write_text(json.dumps(state), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
