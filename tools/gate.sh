#!/usr/bin/env bash
# What has to hold of the models before an image is made of them: each file of each bundle is what its manifest says.
set -euo pipefail
cd "$(dirname "$0")/.."

tools/install.sh run
found=0
for manifest in models/*/bundle.json; do
  [[ -f $manifest ]] || continue
  PATH="${VENV:-.venv}/bin:$PATH" mlapi bundle verify "${manifest%/bundle.json}"
  found=$((found + 1))
done
((found)) || { echo "tools/gate.sh: there is no bundle below models/: nothing was verified" >&2 && exit 1; }
