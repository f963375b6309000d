#!/usr/bin/env bash
# Let the shipped models answer on arm64, emulated by QEMU: tools/arm64.sh [BUNDLE…]. Takes Debian's Python for arm64 and
# the locked packages' wheels for it, both below .tools/arm64, and Debian with root's rights. The large model takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

for needed in debootstrap dpkg qemu-aarch64-static python3; do
  command -v "$needed" >/dev/null ||
    { echo "tools/arm64.sh: $needed is missing: apt-get install debootstrap qemu-user-static" >&2 && exit 1; }
done
bundles=("$@")
((${#bundles[@]})) || bundles=(models/*/)
folder=$PWD/.tools/arm64
root=$folder/root

if [[ ! -f $root/complete ]]; then
  rm -rf "$root" && mkdir -p "$root"
  debootstrap --arch=arm64 --foreign --variant=minbase --include=python3,libstdc++6,libgomp1 bookworm "$root" >"$folder/debootstrap.log"
  # Unpacked only: nothing of it is installed, which would have to be emulated as well.
  for package in "$root"/var/cache/apt/archives/*.deb; do
    dpkg -x "$package" "$root"
  done
  touch "$root/complete"
fi

made_from=$(sha256sum <requirements/serve.txt)
if [[ "$(cat "$folder/packages/made-from" 2>/dev/null)" != "$made_from" ]]; then
  rm -rf "$folder/packages"
  platforms=()
  for minor in {36..17}; do
    platforms+=(--platform "manylinux_2_${minor}_aarch64")
  done
  "${VENV:-.venv}/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
    --only-binary :all: "${platforms[@]}" --platform manylinux2014_aarch64 --python-version 3.11 \
    --implementation cp --abi cp311 --abi abi3 --abi none --target "$folder/packages" --requirement requirements/serve.txt
  echo "$made_from" >"$folder/packages/made-from"
fi

exec qemu-aarch64-static -L "$root" "$root/usr/bin/python3.11" -s -E -S -c '
import platform, sys
sys.path[:0] = [".", sys.argv[1]]
from mlapi import Classifier
for bundle in sys.argv[2:]:
    with Classifier.open(bundle) as classifier:
        for text in ("This movie was fantastic!", "Terrible waste of time"):
            (answer,) = classifier.predict(text)
            print(platform.machine(), classifier.name, classifier.digest[:12], answer.label, *answer.scores, flush=True)
' "$folder/packages" "${bundles[@]}"
