#!/usr/bin/env bash
# Sign an image in a registry with cosign, without a key, and attach its bill of materials: tools/sign.sh IMAGE DIGEST FILE.
# The signature is for the digest: a tag could be moved between the push and this. Whoever signs is known by a token, of
# GitHub Actions or of a browser.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "tools/sign.sh: $*" >&2
  exit 1
}

image=${1:?usage: tools/sign.sh NAME:TAG sha256:DIGEST FILE}
digest=${2:?the digest is missing}
file=${3:?the file for the bill of materials is missing}
[[ $digest =~ ^sha256:[0-9a-f]+$ ]] || fail "$digest is not a digest"
command -v cosign >/dev/null || fail "cosign is missing; install it: https://github.com/sigstore/cosign"
name=${image%:*}@$digest
engine=$(tools/image.sh engine)

"$engine" pull "$name"
tools/image.sh bom "$name" >"$file"
[[ -s $file ]] || fail "the bill of materials is empty"
cosign sign --yes "$name"
cosign attest --yes --type cyclonedx --predicate "$file" "$name"
