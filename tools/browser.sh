#!/usr/bin/env bash
# See to what tests/e2e/test_page_in_browser.py needs: Chromium from the distribution, if we may install from it, and what
# drives it, from the package index, into .tools/browser.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v chromium >/dev/null; then
  if [[ $EUID != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "mlapi: no Chromium on the PATH: install one, such as Debian's chromium" >&2
    exit 1
  fi
  echo "mlapi: installing Chromium from the distribution, once"
  apt-get -qq update
  DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends chromium fonts-dejavu-core >/dev/null
fi
source=tests/e2e/browser
folder=.tools/browser
[[ $folder/installed -nt $source/package-lock.json ]] && exit
tools/clients.sh node
mkdir -p "$folder"
cp "$source"/package*.json "$folder"
tools/npm.sh ci --prefix "$folder"
touch "$folder/installed"
