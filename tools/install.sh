#!/usr/bin/env bash
# Fill the virtual environment with one of the sets in requirements/, and mlapi itself, unless they are there already.
set -euo pipefail
cd "$(dirname "$0")/.."

# Each set holds all of those before it, in the same versions: a larger one serves for a smaller one.
sets=(run quick full)
wanted=${1:?usage: tools/install.sh run|quick|full}
venv=${VENV:-.venv}
stamp=$venv/installed

fail() {
  echo "mlapi: $*" >&2
  exit 1
}

# What an installation depends on: the set, our own metadata, and the folder that scripts and the editable install name.
fingerprint() {
  { pwd && cat pyproject.toml "requirements/$1.txt"; } | sha256sum
}

suits() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null
}

find_python() {
  if [[ -n "${PYTHON:-}" ]]; then
    suits "$PYTHON" || fail "PYTHON=$PYTHON is not a working Python from 3.11 to 3.13"
    echo "$PYTHON"
    return
  fi
  local candidate
  for candidate in python3.11 python3; do
    if suits "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  fail "no Python from 3.11 to 3.13 found as python3.11 or python3; install one, or name it: make PYTHON=/path/to/python"
}

create_venv() {
  local python
  python=$(find_python)
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv"
  "$python" -m venv --clear "$venv"
}

known=
for set in "${sets[@]}"; do
  [[ $set == "$wanted" ]] && known=yes
  [[ -n $known ]] || continue
  [[ -f $stamp && $(<"$stamp") == "$(fingerprint "$set")" ]] && exit 0
done
[[ -n $known ]] || fail "no such set: $wanted (one of: ${sets[*]})"

suits "$venv/bin/python" || create_venv
rm -f "$stamp"
case $wanted in
  full) duration='several minutes: 3 GB, most of it PyTorch' ;;
  *) duration='a minute or less on a fast line' ;;
esac
echo "mlapi: installing requirements/$wanted.txt into $venv, once ($duration)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
  --requirement "requirements/$wanted.txt"
# The build backend is in the set: nothing is fetched here.
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation --editable .
fingerprint "$wanted" >"$stamp"
echo "mlapi: installed in $SECONDS s"
