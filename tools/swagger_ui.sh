#!/usr/bin/env bash
# Put Swagger UI into mlapi/page/swagger: what shows the API documentation, from the npm package that vendored.json there
# pins by version and hash. To update it, change both, run this, write the two new SHA-256 into the file, and look at
# /project/docs in a browser, whose console tells whether the content security policy still lets all of it run.
set -euo pipefail
cd "$(dirname "$0")/../mlapi/page/swagger"

pinned() {
  sed -n "s/^ *\"$1\": \"\(.*\)\",*$/\1/p" vendored.json
}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm pack --silent --pack-destination "$folder" "swagger-ui-dist@$(pinned version)" >/dev/null
found=sha512-$(openssl dgst -sha512 -binary "$folder"/*.tgz | base64 -w0)
if [[ $found != "$(pinned integrity)" ]]; then
  echo "mlapi: the package is another one than vendored.json says: $found" >&2
  exit 1
fi
tar -xzf "$folder"/*.tgz -C "$folder" --strip-components 1
cp "$folder"/{LICENSE,NOTICE,swagger-ui-bundle.js.LICENSE.txt} .
for name in swagger-ui-bundle.js swagger-ui.css; do
  # The same bytes each time: without name and date.
  gzip -9 --no-name <"$folder/$name" >"$name.gz"
  sha256sum "$folder/$name" | sed "s|$folder/||"
done
