"""Stands in for docker: remembers what was built, examined, logged in to and pushed, in a JSON file."""

import json
import os
import sys
from pathlib import Path
from typing import Final

STATE: Final = Path(os.environ["FAKE_STATE"])


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
            state["examined"].append("serving" in probe)
            STATE.write_text(json.dumps(state), encoding="utf-8")
            return int(state["bad_image"])
        case ["login", *options]:
            state["logins"].append([*options, sys.stdin.read().strip()])
        case ["push", name]:
            registry, _, image = name.partition("/")
            repository, _, tag = image.partition(":")
            if not [login for login in state["logins"] if registry in login] or name not in state["built"]:
                return 1
            state["repositories"][repository][tag] = "sha256:0123"
        case _:
            return 125
    STATE.write_text(json.dumps(state), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
