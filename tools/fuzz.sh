#!/usr/bin/env bash
# Grow soak/corpus: `tools/fuzz.sh [--seconds N] [FOLDER…]`. The fuzzer has an environment of its own, which sees the
# project's packages; it exists for Linux on x86-64.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.tools/fuzz
requirements=requirements/fuzz.txt

tools/install.sh quick
if [[ ! $venv/installed -nt $requirements ]]; then
    "${VENV:-.venv}/bin/python" -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement "$requirements"
    "${VENV:-.venv}/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
        >"$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/project.pth"
    touch "$venv/installed"
fi
exec "$venv/bin/python" -m soak.fuzz "$@"
