#!/usr/bin/env bash
# Put DVC and MLflow into environments of their own below .tools: what they need contradicts what the service needs.
# `tracking` is as much of MLflow as writes runs; `mlflow`, which is 850 MB, has the pages that show them.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "mlapi: $*" >&2
  exit 1
}

provide() {
  local name=$1 folder=.tools/$1 list=requirements/$1.txt
  local stamp=$folder/installed made_from
  made_from=$({ pwd && cat "$list" tools/training_tools.sh; } | sha256sum)
  [[ -f $stamp && $(<"$stamp") == "$made_from" ]] && return
  echo "mlapi: installing $list into $folder, once (a minute on a fast line)"
  rm -rf "$folder"
  "${VENV:-.venv}/bin/python" -m venv "$folder"
  # The list is complete. Of antlr4-python3-runtime, the index has this version as source only.
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
    --only-binary :all: --no-binary antlr4-python3-runtime --requirement "$list"
  echo "$made_from" >"$stamp"
}

names=("$@")
((${#names[@]})) || names=(dvc tracking)
tools/install.sh run
for name in "${names[@]}"; do
  case $name in
    dvc | tracking | mlflow) provide "$name" ;;
    *) fail "no such tool: $name (one of: dvc tracking mlflow)" ;;
  esac
done
