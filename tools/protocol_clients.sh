#!/usr/bin/env bash
# Install the clients of other servers, which tests/e2e/test_protocol_clients.py asks the service with, once: into an
# environment of their own, because their libraries are not ours. `requirements/protocols.txt` leaves out what they import
# for other purposes alone, such as an ONNX Runtime. It was made with `uv pip compile --universal --generate-hashes`.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.tools/protocols
requirements=requirements/protocols.txt

[[ $venv/installed -nt $requirements ]] && exit
echo "mlapi: fetching the clients of other servers (600 MB on the disk), once"
tools/install.sh run
"${VENV:-.venv}/bin/python" -m venv --clear "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement "$requirements"
touch "$venv/installed"
