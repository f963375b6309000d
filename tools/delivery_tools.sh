#!/usr/bin/env bash
# Put what checks infra/ and .github/ into an environment of its own, .tools/delivery: zizmor, ansible-lint, and moto, a
# stand-in for AWS. What they need contradicts what the service needs. `zizmor` alone takes seconds, `all` a minute.
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:-zizmor}
folder=.tools/delivery list=requirements/delivery.txt
case $what in
  zizmor | all) ;;
  *) echo "mlapi: no such tool: $what (one of: zizmor all)" >&2 && exit 1 ;;
esac
stamp=$folder/installed
made_from=$({ pwd && cat "$list" tools/delivery_tools.sh; } | sha256sum)
have=$(cat "$stamp" 2>/dev/null || true)
[[ $have == "all $made_from" || $have == "$what $made_from" ]] && exit
tools/install.sh run
echo "mlapi: installing $what of $list into $folder, once"
rm -rf "$folder"
"${VENV:-.venv}/bin/python" -m venv "$folder"
wanted=$list
if [[ $what == zizmor ]]; then
  wanted=$folder/zizmor.txt
  # It needs nothing else: its line, and the hashes that follow it.
  awk '/^[a-z]/ { wanted = /^zizmor==/ } wanted' "$list" >"$wanted"
fi
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
  --only-binary :all: --no-binary antlr4-python3-runtime --requirement "$wanted"
echo "$what $made_from" >"$stamp"
