#!/usr/bin/env bash
# Print the name of an image in this account's ECR, NAME:TAG, after checking that one may ask for it.
set -euo pipefail

fail() {
  echo "tools/ecr.sh: $*" >&2
  exit 1
}

tag=${1:?usage: tools/ecr.sh TAG}
repository=${ECR_REPOSITORY:-mlapi}

command -v aws >/dev/null ||
  fail "aws is missing; install it: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html"
region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}
[[ -n $region ]] || fail "no AWS region is chosen; set AWS_REGION, or run: aws configure"
account=$(aws sts get-caller-identity --query Account --output text) ||
  fail "AWS does not know you; log in: aws sso login, or aws configure"
echo "$account.dkr.ecr.$region.amazonaws.com/$repository:$tag"
