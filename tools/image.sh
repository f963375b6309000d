#!/usr/bin/env bash
# Build the image and examine it, with whichever container engine there is.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<'TEXT'
usage: tools/image.sh engine                      name the container engine
       tools/image.sh tag [BUNDLE [FLAVOUR]]      name what the working tree holds: a commit, or dirty-TREE; and behind
                                                  it the model and the flavour that are not the default ones
       tools/image.sh build NAME:TAG [OPTION…]    build it; options as of `docker build`
       tools/image.sh check NAME:TAG [FLAVOUR]    examine it: contents, rights, a prediction
       tools/image.sh bom NAME:TAG                write its bill of materials, as CycloneDX
       tools/image.sh save NAME:TAG FILE          write it into a file, as `docker save` does
       tools/image.sh layers NAME:TAG             list its layers: bytes compressed and not, digests

Environment:
  ENGINE         docker, podman or buildah; default: the first of them that works
  BUILD_IMAGE    a command to run in place of the engine's own build command, with the same options
TEXT
}

# The time of every file in every build. With the commit's time, no layer of one version would be known to the next.
stamp=315532800

fail() {
  echo "tools/image.sh: $*" >&2
  exit 1
}

works() {
  case $1 in
    docker) docker info >/dev/null 2>&1 ;;
    podman | buildah) command -v "$1" >/dev/null ;;
    *) fail "ENGINE=$1 is not one of docker, podman, buildah" ;;
  esac
}

engine() {
  local name
  for name in ${ENGINE:-docker podman buildah}; do
    if works "$name"; then
      echo "$name"
      return
    fi
  done
  [[ -z ${ENGINE:-} ]] || fail "ENGINE=$ENGINE does not work here; try it: $ENGINE info"
  fail "no container engine works here; install one: https://docs.docker.com/engine/install, or apt-get install podman"
}

# The tree that a commit of everything in the working folder would have, without touching the index.
working_tree() {
  local index code=0
  index=$(mktemp)
  # Within `$(…)`, bash goes on after what fails: the tree would be that of the last commit, whatever was changed.
  { cp "$(git rev-parse --git-path index)" "$index" && GIT_INDEX_FILE=$index git add --all &&
    GIT_INDEX_FILE=$index git write-tree; } || code=1
  rm -f "$index"
  return "$code"
}

revision() {
  local tree
  if [[ -z $(git status --porcelain) ]]; then
    git rev-parse --short=12 HEAD
  else
    tree=$(working_tree) || fail "git cannot take down what the working folder holds, so that it has no name; see above"
    echo "dirty-${tree:0:12}"
  fi
}

tag() {
  local bundle=${1:-} flavour=${2:-serve} name
  name=$(revision)
  [[ -z $bundle ]] || name+=-$(basename "$bundle")
  [[ $flavour == serve ]] || name+=-$flavour
  echo "$name"
}

build() {
  local name=$1 engine command revision
  shift
  engine=$(engine)
  revision=$(revision)
  read -ra command <<<"${BUILD_IMAGE:-$engine build}"
  [[ $engine == docker ]] || command+=(--layers --timestamp "$stamp")
  SOURCE_DATE_EPOCH=$stamp "${command[@]}" --tag "$name" --build-arg "REVISION=$revision" "$@" .
}

# Pipe a program into the image's Python, as a stranger without rights.
inside() (
  local name=$1 program=$2 engine container
  shift 2
  local restricted=(--cap-drop ALL --network none --user 54321:54321)
  engine=$(engine)
  case $engine in
    buildah)
      # It can do all of this but a read-only root file system.
      container=$(buildah from --pull-never "$name")
      trap 'buildah rm "$container" >/dev/null' EXIT
      buildah run "${restricted[@]}" "$container" -- python - "$@" <"$program"
      ;;
    *)
      "$engine" run --rm --interactive --read-only --security-opt no-new-privileges "${restricted[@]}" \
        --entrypoint python "$name" - "$@" <"$program"
      ;;
  esac
)

check() { inside "$1" tools/image_probe.py "${2:-serve}"; }

bom() { inside "$1" tools/image_bom.py; }

save() {
  local name=$1 file=$2 engine
  engine=$(engine)
  case $engine in
    buildah) buildah push --quiet "$name" "docker-archive:$file" ;;
    *) "$engine" save --output "$file" "$name" ;;
  esac
}

layers() {
  local folder
  folder=$(mktemp -d)
  save "$1" "$folder/image.tar"
  python3 tools/image_layers.py "$folder/image.tar"
  rm -rf "$folder"
}

case ${1:-} in
  engine | tag) "$@" ;;
  build | check | bom | layers)
    (($# > 1)) || { usage >&2; exit 2; }
    "$@"
    ;;
  save)
    (($# == 3)) || { usage >&2; exit 2; }
    "$@"
    ;;
  -h | --help) usage ;;
  *) usage >&2; exit 2 ;;
esac
