"""Stands in for the AWS command line: an account with ECR repositories, in a JSON file."""

import json
import os
import sys
from pathlib import Path
from typing import Final

STATE: Final = Path(os.environ["FAKE_STATE"])


def main(words: list[str]) -> int:
    """Answer one call; return the exit code."""
    state = json.loads(STATE.read_text(encoding="utf-8"))
    service, verb = words[:2]
    options = dict(zip(words[2::2], words[3::2], strict=False))
    repository = options.get("--repository-name", options.get("--repository-names", ""))
    if service == "configure":
        return 1
    if not state["logged_in"]:
        sys.stderr.write("Unable to locate credentials\n")
        return 253
    if service == "sts":
        sys.stdout.write("123456789012\n")
    elif (service, verb) == ("eks", "update-kubeconfig"):
        state["contexts"].append(options["--alias"])
        STATE.write_text(json.dumps(state), encoding="utf-8")
    elif verb == "get-login-password":
        sys.stdout.write("a-password\n")
    elif verb == "create-repository":
        state["repositories"][repository] = {}
        STATE.write_text(json.dumps(state), encoding="utf-8")
    elif repository not in state["repositories"]:
        return 254
    elif verb == "describe-images":
        digest = state["repositories"][repository].get(options["--image-ids"].removeprefix("imageTag="))
        if digest is None:
            return 254
        sys.stdout.write(f"{digest}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
