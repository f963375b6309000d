#!/usr/bin/env bash
# Put Ray and Spark into environments of their own below .tools, each together with what the service imports: for
# `mlapi bulk --ray`, for examples/spark.py, and for their tests.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "mlapi: $*" >&2
  exit 1
}

provide() {
  local name=$1 folder=.tools/$1 list=requirements/$1.txt
  local stamp=$folder/installed made_from
  made_from=$({ pwd && cat "$list" tools/bulk_engines.sh; } | sha256sum)
  [[ -f $stamp && $(<"$stamp") == "$made_from" ]] && return
  echo "mlapi: installing $list into $folder, once"
  rm -rf "$folder"
  "${VENV:-.venv}/bin/python" -m venv "$folder"
  # The list is complete. Of pyspark, the index has the source only.
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
    --only-binary :all: --no-binary pyspark --requirement "$list"
  echo "$made_from" >"$stamp"
}

names=("$@")
((${#names[@]})) || names=(ray spark)
tools/install.sh run
for name in "${names[@]}"; do
  case $name in
    ray | spark) provide "$name" ;;
    *) fail "no such engine: $name (one of: ray spark)" ;;
  esac
done
