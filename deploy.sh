#!/usr/bin/env bash
# Bring the service to a Kubernetes cluster, see that it answers, and go back to what was there if it does not.
set -euo pipefail
cd "$(dirname "$0")"

usage() {
  cat <<'TEXT'
usage: ./deploy.sh [dev|prod] [OPTION…]

dev (the default) builds the image of the working tree, brings it to the cluster and applies .k8s/overlays/dev.
prod applies .k8s/overlays/prod with the image of this commit that ./build-push.sh pushed to ECR.

Both show what will change, apply it, wait for the rollout and ask each Service for a prediction, twice. If anything of
that fails, they show the events and logs that matter, apply again what was there before, and exit with 1.

Options:
  --context NAME      the context of your kubeconfig; default: the current one, if it is a cluster on this machine
                      (minikube, kind, k3d, Docker Desktop, Rancher Desktop, OrbStack, colima)
  --namespace NAME    default: the overlay's
  --overlay FOLDER    another folder to apply, such as one of your own
  --bundle FOLDER     another model, such as models/mine; default: the one that ships with the source
  --flavour NAME      torch has PyTorch with CUDA; default: serve
  --image NAME:TAG    an image that the cluster has or can pull; nothing is built
  --timeout SECONDS   for each rollout; default: 300
  --dry-run           ask the cluster, but change nothing: print what would be run
  -h, --help

Environment:
  KUBE_CONTEXT             as --context
  LOAD_IMAGE               a command that brings the image NAME:TAG to the cluster's nodes, such as
                           "kind load docker-image"; needed for dev on a cluster that is not on this machine
  ENGINE, BUILD_IMAGE      see tools/image.sh --help
  ECR_REPOSITORY           default: mlapi
  AWS_PROFILE, AWS_REGION  as the AWS command line reads them

Exit codes: 0 it answers, 1 it does not, 2 wrong usage or something is missing; nothing was changed then.
TEXT
}

say() { echo "deploy: $*"; }

stop() {
  echo "deploy: $*" >&2
  exit 2
}

# Changes to the cluster or the machine go through here, questions do not.
run() {
  if [[ -n $dry_run ]]; then
    echo "would run: $(printf '%q ' "$@")"
  else
    "$@"
  fi
}

kube() { kubectl --context "$context" "$@"; }

# --- What is asked for

parse() {
  environment=dev context=${KUBE_CONTEXT:-} namespace='' overlay='' image='' timeout=300 dry_run=''
  bundle='' flavour=serve
  local chosen=''
  while (($#)); do
    case $1 in
      dev | prod)
        [[ -z $chosen ]] || stop "dev or prod, not both"
        chosen=$1
        ;;
      --dry-run) dry_run=yes ;;
      -h | --help) usage && exit ;;
      --context | --namespace | --overlay | --bundle | --flavour | --image | --timeout)
        (($# > 1)) && [[ -n $2 ]] || stop "$1 needs a value"
        printf -v "${1#--}" %s "$2"
        shift
        ;;
      *) stop "I do not know $1; see ./deploy.sh --help" ;;
    esac
    shift
  done
  environment=${chosen:-dev}
  overlay=${overlay:-.k8s/overlays/$environment}
  bundle=${bundle%/}
  [[ $flavour == serve || $flavour == torch ]] || stop "--flavour is serve or torch, not $flavour"
  [[ -z $bundle || -f $bundle/bundle.json ]] || stop "$bundle is not a model bundle: it has no bundle.json"
  [[ -z $bundle || $bundle == models/* ]] || stop "--bundle takes a folder below models/: nothing else reaches the builder"
  [[ -f $overlay/kustomization.yaml ]] || stop "$overlay holds no kustomization.yaml"
  [[ $timeout =~ ^[1-9][0-9]*$ ]] || stop "--timeout takes whole seconds, not $timeout"
  [[ -z $image || (-z $bundle && $flavour == serve) ]] ||
    stop "--image names what is built already: leave --bundle and --flavour out"
  [[ -z $image || $image =~ [:@][^/]+$ ]] || stop "--image needs a tag or a digest: $image names none"
}

need() {
  command -v "$1" >/dev/null || stop "$1 is missing; install it: $2"
}

is_local() {
  case $1 in
    minikube | kind-* | k3d-* | docker-desktop | rancher-desktop | orbstack | colima*) ;;
    *) return 1 ;;
  esac
}

choose_context() {
  need kubectl https://kubernetes.io/docs/tasks/tools/
  if [[ -z $context ]]; then
    context=$(kubectl config current-context 2>/dev/null) ||
      stop "your kubeconfig has no current context; start a cluster (minikube start), or name one: --context NAME"
    is_local "$context" ||
      stop "the current context, $context, is not a cluster on this machine; if you mean it, say so: --context $context"
  fi
  kubectl config get-contexts "$context" >/dev/null 2>&1 ||
    stop "your kubeconfig has no context $context; kubectl config get-contexts lists them," \
      "aws eks update-kubeconfig --name CLUSTER adds one of EKS"
  kube get --raw /readyz >/dev/null 2>&1 ||
    stop "the cluster of context $context does not answer; is it running (minikube start), are you logged in?"
}

# Names that stand for yours: nobody's, so that what is left of them cannot be reached, or someone else's one day.
refuse_placeholders() {
  kubectl kustomize "$overlay" >"$scratch/overlay.yaml"
  local found
  # The image is put in below.
  found=$(sed -E '/image: "?[^ "]*mlapi:0000000"?$/d' "$scratch/overlay.yaml" |
    grep -oE '([a-z0-9-]+\.)*(example(\.(com|net|org))?|invalid)([^a-z0-9.-]|$)|000000000000[a-z0-9./-]*' |
    grep -E '[.]|^0' | sort -u | tr -cd 'a-z0-9./\n-' | tr '\n' ' ' || true)
  [[ -z $found ]] || stop "$overlay still holds what stands for your own names: ${found% };" \
    "put yours there first (the host: virtual-service.yaml), or leave the part out"
}

# --- The image

# dev: an image of the working tree, named by its content, so that the cluster never mistakes an old one for it.
provide_image() {
  need git https://git-scm.com/downloads
  [[ -z $image ]] || return 0
  local tag arguments=("FLAVOUR=$flavour")
  tag=$(tools/image.sh tag "$bundle" "$flavour") || exit 2
  [[ -z $bundle ]] || arguments+=("BUNDLE=$bundle")
  if [[ $environment == prod ]]; then
    [[ -z $(git status --porcelain) ]] ||
      stop "the working tree has changes that no image holds; commit them and run ./build-push.sh, or name one: --image"
    image=$(tools/ecr.sh "$tag") || exit 2
    return
  fi
  image=mlapi:$tag
  if [[ -n ${LOAD_IMAGE:-} ]]; then
    local load
    read -ra load <<<"$LOAD_IMAGE"
    build_and "${load[@]}" "$image"
    return
  fi
  case $context in
    minikube)
      need minikube https://minikube.sigs.k8s.io/docs/start/
      run minikube --profile "$context" image build --tag "$image" "${arguments[@]/#/--build-opt=build-arg=}" .
      ;;
    kind-*)
      need kind https://kind.sigs.k8s.io/docs/user/quick-start/#installation
      build_and kind load docker-image --name "${context#kind-}" "$image"
      ;;
    k3d-*)
      need k3d https://k3d.io/#installation
      build_and k3d image import --cluster "${context#k3d-}" "$image"
      ;;
    docker-desktop | rancher-desktop | orbstack | colima*) build_and true ;;
    *)
      stop "how does an image reach the nodes of $context? Name one that they can pull: --image NAME:TAG," \
        "or a command that brings one there: LOAD_IMAGE='…'"
      ;;
  esac
}

build_and() {
  tools/image.sh engine >/dev/null || exit 2
  run tools/image.sh build "$image" "${arguments[@]/#/--build-arg=}"
  [[ $1 == true ]] || run "$@"
}

# --- The manifests

# The overlay with the image in the place of the tag that no image has; the working tree stays as it is.
render() {
  local name names folder
  names=$(sed -nE 's/^ *(- )?image: "?([^ "]*mlapi):0000000"?$/\2/p' "$scratch/overlay.yaml" | sort -u)
  [[ -n $names ]] || stop "$overlay names an image of its own; leave the base's, mlapi:0000000, for me to replace"
  folder=$(realpath --relative-to "$scratch" "$overlay")
  {
    echo "resources: [$folder]"
    [[ -z $namespace ]] || echo "namespace: $namespace"
    echo images:
    for name in $names; do
      if [[ $image == *@* ]]; then
        echo "- {name: $name, newName: ${image%@*}, digest: \"${image#*@}\"}"
      else
        echo "- {name: $name, newName: ${image%:*}, newTag: \"${image##*:}\"}"
      fi
    done
  } >"$scratch/kustomization.yaml"
  kubectl kustomize "$scratch" >"$scratch/new.yaml"
  namespace=$(sed -n 's/^  namespace: //p' "$scratch/new.yaml" | sort -u)
  [[ -n $namespace && $namespace != *$'\n'* ]] || stop "$overlay names no namespace, or several; choose: --namespace NAME"
  root_path=$(sed -n 's/^  MLAPI_ROOT_PATH: //p' "$scratch/new.yaml" | tr -d '"' | head -1)
}

# What is there now, as it was applied: what a rollback applies again.
remember() {
  # shellcheck disable=SC2016  # a Go template
  local applied='{{range .items}}{{with .metadata.annotations}}{{with index . "kubectl.kubernetes.io/last-applied-configuration"}}---
{{.}}{{end}}{{end}}{{end}}'
  kube apply --dry-run=client --filename "$scratch/new.yaml" --output name 2>"$scratch/errors" | sort >"$scratch/new.names" ||
    { cat "$scratch/errors" >&2; stop "the cluster does not know all that $overlay holds; is Istio installed?"; }
  kube get --filename "$scratch/new.yaml" --ignore-not-found --output name | sort >"$scratch/old.names"
  kube get --filename "$scratch/new.yaml" --ignore-not-found --output "go-template=$applied" >"$scratch/old.yaml"
  deployments=$(grep '^deployment.apps/' "$scratch/new.names" || true)
  upgrade=''
  ! grep -qx deployment.apps/mlapi "$scratch/old.names" || upgrade=yes
}

show_changes() {
  if [[ -z $upgrade ]]; then
    say "a first installation, of $(wc -l <"$scratch/new.names") objects"
    return
  fi
  local code=0
  # Without the copy of the whole object that each one carries in a single line.
  kube diff --filename "$scratch/new.yaml" | sed '/last-applied-configuration: |$/,+1d' || code=${PIPESTATUS[0]}
  ((code <= 1)) || stop "the changes cannot be shown, see above"
  ((code == 1)) || say "nothing changes"
}

# --- Rollout, test, rollback

roll_out() {
  local deployment
  run kube apply --filename "$scratch/new.yaml" || return
  for deployment in $deployments; do
    run kube rollout status --namespace "$namespace" "$deployment" --timeout "${timeout}s" || return
  done
  local urls=("http://mlapi-service:8000${root_path:-/project}")
  [[ $deployments != *deployment.apps/lab* ]] || urls+=(http://lab-service:8000/lab)
  [[ -n $dry_run ]] || say "rolled out; asking each Service for a prediction"
  run tools/smoke_test.sh "$context" "$namespace" "$image" "${urls[@]}"
}

explain() {
  say "what went wrong: pods, warnings of the last minutes, and the logs of what is not ready"
  kube get pods --namespace "$namespace" --output wide || true
  kube get events --namespace "$namespace" --field-selector type=Warning --sort-by .lastTimestamp | tail -n 15 || true
  local pods pod
  # shellcheck disable=SC2016  # a Go template
  pods=$(kube get pods --namespace "$namespace" --selector app.kubernetes.io/part-of=mlapi --output \
    'go-template={{range .items}}{{$name := .metadata.name}}{{range .status.conditions}}{{if and (eq .type "Ready") (ne .status "True")}}{{$name}} {{end}}{{end}}{{end}}') || true
  for pod in $pods; do
    echo "--- $pod"
    kube logs --namespace "$namespace" "$pod" --all-containers --prefix --tail 20 || true
    kube logs --namespace "$namespace" "$pod" --container mlapi --previous --tail 20 2>/dev/null || true
  done
}

roll_back() {
  local name deployment
  if [[ -z $upgrade ]]; then
    say "this was the first installation: there is nothing to go back to. It is left for you to look at;" \
      "to remove it: kubectl --context $context delete -k $overlay"
    return
  fi
  say "going back to what was there before"
  kube apply --filename "$scratch/old.yaml" >/dev/null || return
  for name in $(comm -13 "$scratch/old.names" "$scratch/new.names"); do
    kube delete --namespace "$namespace" --ignore-not-found "$name" || return
  done
  while read -r deployment; do
    kube rollout status --namespace "$namespace" "$deployment" --timeout "${timeout}s" || return
  done < <(grep '^deployment.apps/' "$scratch/old.names")
  say "went back: what was there before is there again"
}

where() {
  if [[ $context == minikube ]]; then
    say "its address: minikube service mlapi-service -n $namespace --url"
  else
    say "to reach it from here: kubectl --context $context port-forward -n $namespace service/mlapi-service 8000"
  fi
}

main() {
  parse "$@"
  choose_context
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  refuse_placeholders
  provide_image
  render
  say "$image to namespace $namespace of $context"
  remember
  show_changes
  if ! roll_out; then
    explain >&2
    roll_back >&2 || say "going back failed as well: the last lines above say at what" >&2
    exit 1
  fi
  [[ -n $dry_run ]] || where
}

main "$@"
