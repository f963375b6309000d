#!/usr/bin/env bash
# Resolve pyproject.toml into poetry.lock, and export the lock into requirements/, all with one pinned Poetry. Tools that
# must not meet those packages are resolved by themselves; Ray and Spark beside those of the service alone.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${1:?usage: tools/lock.sh PYTHON}
venv=.tools/poetry
pins=(poetry==2.5.1 poetry-plugin-export==1.10.1 uv==0.13.9)

if [[ "$(cat "$venv/pins" 2>/dev/null)" != "${pins[*]}" ]]; then
  "$python" -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "${pins[@]}"
  echo "${pins[*]}" >"$venv/pins"
fi

"$venv/bin/poetry" lock

export_set() {
  "$venv/bin/poetry" export --output "requirements/$1.txt" "${@:2}"
}
export_set serve --only main
export_set run --only main,build,redis
export_set quick --all-groups --extras tracing --extras learn --extras bulk --extras kafka
export_set full --all-groups --all-extras
# What images are made of besides: the build backend, and the service with PostgreSQL's driver, or with PyTorch.
export_set build --only build
export_set learn --only main --extras learn
export_set torch --only main --extras torch

for name in delivery dvc mlflow ray spark tracking training; do
  "$venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --upgrade --output-file "requirements/$name.txt" "requirements/$name.in"
done
