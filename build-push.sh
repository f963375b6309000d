#!/usr/bin/env bash
# Build the image of this commit, examine it, and push it to ECR under the commit's name.
set -euo pipefail
cd "$(dirname "$0")"

usage() {
  cat <<'TEXT'
usage: ./build-push.sh [OPTION…]

The working tree has to be clean: the tag is the commit, and says what is in the image; another model or flavour is
named behind it. What is in ECR already is not built again.

Options:
  --flavour serve|torch   serve (the default) runs on processors, torch has PyTorch with CUDA
  --bundle FOLDER         another model, such as models/mine; default: the one that ships with the source
  --arch                  one of several architectures: push it as TAG-amd64 or TAG-arm64, whichever this machine is
  --join LIST             build nothing: push under TAG what was pushed with --arch, such as --join amd64,arm64; a node
                          pulls the one that it can run. Needs docker with buildx, or podman or buildah
  --write FILE            append image=NAME:TAG and digest=sha256:… to a file, when it is in ECR
  --create-repository     make the ECR repository if there is none; tags in it cannot be moved
  --dry-run               ask git and AWS, but build and push nothing: print what would be run
  -h, --help

Environment:
  ECR_REPOSITORY           default: mlapi
  AWS_PROFILE, AWS_REGION  as the AWS command line reads them
  ENGINE, BUILD_IMAGE      see tools/image.sh --help

Exit codes: 0 it is in ECR, 1 a step failed, 2 wrong usage or something is missing.
TEXT
}

say() { echo "build-push: $*"; }

stop() {
  echo "build-push: $*" >&2
  exit 2
}

run() {
  if [[ -n $dry_run ]]; then
    echo "would run: $(printf '%q ' "$@")"
  else
    "$@"
  fi
}

parse() {
  flavour=serve bundle='' create='' dry_run='' arch='' join='' write=''
  while (($#)); do
    case $1 in
      --create-repository) create=yes ;;
      --arch) arch=yes ;;
      --dry-run) dry_run=yes ;;
      -h | --help) usage && exit ;;
      --flavour | --bundle | --join | --write)
        (($# > 1)) && [[ -n $2 ]] || stop "$1 needs a value"
        printf -v "${1#--}" %s "$2"
        shift
        ;;
      *) stop "I do not know $1; see ./build-push.sh --help" ;;
    esac
    shift
  done
  [[ $flavour == serve || $flavour == torch ]] || stop "--flavour is serve or torch, not $flavour"
  [[ -z $arch || -z $join ]] || stop "--arch pushes one architecture, --join names several: choose one"
  [[ -z $join || $join =~ ^(amd64|arm64)(,(amd64|arm64))*$ ]] || stop "--join takes amd64, arm64 or both, not $join"
  [[ -z $bundle || -f $bundle/bundle.json ]] || stop "$bundle is not a model bundle: it has no bundle.json"
  [[ -z $bundle || $bundle == models/* ]] || stop "--bundle takes a folder below models/: nothing else reaches the builder"
}

check_tree() {
  command -v git >/dev/null || stop "git is missing; install it: https://git-scm.com/downloads"
  local changes
  changes=$(git status --porcelain)
  [[ -z $changes ]] || stop "the working tree has changes, so that a commit's name would not say what is in the image;" \
    "commit or stash them:"$'\n'"$changes"
}

check_repository() {
  local registry=${image%%/*} repository=${image#*/}
  repository=${repository%:*}
  region=$(cut -d . -f 4 <<<"$registry")
  aws ecr describe-repositories --region "$region" --repository-names "$repository" >/dev/null 2>&1 && return
  local command=(aws ecr create-repository --region "$region" --repository-name "$repository"
    --image-tag-mutability IMMUTABLE --image-scanning-configuration scanOnPush=true)
  [[ -n $create ]] || stop "there is no repository $repository in $registry (or you may not see it);" \
    "make it: ./build-push.sh --create-repository, or ${command[*]}"
  run "${command[@]}" >&2
}

# The digest under which ECR has an image, if it has it; for nothing, the AWS command line writes the word None.
pushed() {
  local repository=${image#*/}
  aws ecr describe-images --region "$region" --repository-name "${repository%:*}" --image-ids "imageTag=${image##*:}" \
    --query 'imageDetails[0].imageDigest' --output text 2>/dev/null | grep '^sha256:'
}

log_in() {
  local registry=${image%%/*}
  if [[ -n $dry_run ]]; then
    echo "would run: aws ecr get-login-password --region $region | $engine login --username AWS --password-stdin $registry"
  else
    aws ecr get-login-password --region "$region" | "$engine" login --username AWS --password-stdin "$registry"
  fi
}

# What container engines call this machine.
machine() {
  case $(uname -m) in
    x86_64) echo amd64 ;;
    aarch64 | arm64) echo arm64 ;;
    *) stop "there is no image for $(uname -m)" ;;
  esac
}

# One name for the images of several architectures, each of which is in ECR.
join_architectures() {
  local names=("${join//,/ }") parts=() part
  read -ra names <<<"${names[0]}"
  for part in "${names[@]}"; do
    [[ -n $dry_run ]] || image=$image-$part pushed >/dev/null ||
      stop "$image-$part is not in ECR; push it on a machine of that architecture: ./build-push.sh --arch"
    parts+=("$image-$part")
  done
  log_in
  if [[ $engine == docker ]]; then
    run docker buildx imagetools create --tag "$image" "${parts[@]}"
  else
    run "$engine" manifest create "$image" "${parts[@]/#/docker://}"
    run "$engine" manifest push --all "$image" "docker://$image"
  fi
}

# told IMAGE DIGEST: say on the terminal what was pushed, and write it to the file that --write names, if any.
told() {
  [[ -z $write ]] || printf 'image=%s\ndigest=%s\n' "$image" "$2" >>"$write"
  say "$1"
}

main() {
  parse "$@"
  check_tree
  local engine region='' digest image tag options=(--build-arg "FLAVOUR=$flavour")
  [[ -z $bundle ]] || options+=(--build-arg "BUNDLE=${bundle%/}")
  engine=$(tools/image.sh engine) || exit 2
  tag=$(tools/image.sh tag "$bundle" "$flavour") || exit 2
  image=$(tools/ecr.sh "$tag") || exit 2
  [[ -z $arch ]] || image=$image-$(machine)
  check_repository
  if digest=$(pushed); then
    told "$image is there already: $digest" "$digest"
    return
  fi
  if [[ -n $join ]]; then
    join_architectures
  else
    run tools/image.sh build "$image" "${options[@]}"
    run tools/image.sh check "$image" "$flavour"
    log_in
    run "$engine" push "$image"
  fi
  [[ -n $dry_run ]] && return
  digest=$(pushed) || stop "ECR does not know $image after the push"
  told "pushed $image, $digest" "$digest"
  say "next: ./deploy.sh prod --context NAME, with the same --bundle and --flavour"
}

main "$@"
