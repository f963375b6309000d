#!/usr/bin/env bash
# Let the repository tell the truth after a rollout that Flagger took back: one commit that reverts and bans what failed.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<'TEXT'
usage: tools/settle.sh ENVIRONMENT [BRANCH]

Asks the cluster that kubectl reaches what became of the version that ENVIRONMENT (staging, prod) is to run. If it was
taken back, commits the revert and pushes it to BRANCH of origin (default: main), without force: where somebody else
pushed meanwhile, the next call does it. Does nothing else, and so may be called as often as one likes.

Asks twice where a version failed, SETTLE_WAIT_S (90) seconds apart: that has to be longer than the interval of the
Canary's analysis, for which Flagger may still mean the version before.
TEXT
}

case ${1:-} in
  -h | --help) usage && exit ;;
  staging | prod) (($# <= 2)) || { usage >&2 && exit 2; } ;;
  *) usage >&2 && exit 2 ;;
esac
environment=$1 branch=${2:-main}

namespace=$(sed -n 's/^namespace: //p' ".k8s/environments/$environment/kustomization.yaml")
[[ -n $namespace ]] || { echo "tools/settle.sh: $environment has no namespace" >&2 && exit 1; }
git config user.email >/dev/null || export GIT_AUTHOR_NAME=settle GIT_AUTHOR_EMAIL=settle@localhost \
  GIT_COMMITTER_NAME=settle GIT_COMMITTER_EMAIL=settle@localhost

look() {
  kubectl get canary/mlapi deployment/mlapi deployment/mlapi-primary --namespace "$namespace" --output json
}

before=$(git rev-parse HEAD)
earlier=$(look)
[[ $earlier != *'"Failed"'* ]] || sleep "${SETTLE_WAIT_S:-90}"
look | "${PYTHON:-python3}" -m tools.promotion settle "$environment" --earlier <(printf '%s' "$earlier")
[[ $(git rev-parse HEAD) != "$before" ]] || exit 0
git push --quiet origin "HEAD:$branch" || {
  # What was not pushed must not be taken for done by the next call.
  git reset --quiet --hard "$before"
  echo "tools/settle.sh: $branch of origin has moved: fetch it, and call again" >&2
  exit 1
}
