#!/usr/bin/env bash
# Train models: small ones on made-up sentences, or with `full` those of params.yaml, with DVC and MLflow.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "mlapi: $*" >&2
  exit 1
}

profile=${1:?usage: tools/train.sh small|full [MODEL…]}
shift
models=("$@")
((${#models[@]})) || models=(lab)
bin=$PWD/${VENV:-.venv}/bin
[[ ${VENV:-} != /* ]] || bin=$VENV/bin

# Only the encoders need PyTorch.
needed=quick
[[ " ${models[*]}" != *" project"* ]] || needed=full

case $profile in
  small)
    tools/install.sh "$needed"
    exec "$bin/python" -m training.pipeline --params training/params.yaml --params training/small.yaml \
      --results build/training "${models[@]}"
    ;;
  full)
    if [[ ! -d ${SHARED_DIR:-}/data ]]; then
      fail "PROFILE=full needs the data sets: set SHARED_DIR to the folder with data/ and models/; docs/training.md lists them"
    fi
    tools/install.sh "$needed"
    tools/training_tools.sh dvc tracking
    # What `project` starts from is made of a published encoder, unless it is there.
    start=all-minilm-l6-v2/model.safetensors
    if [[ " ${models[*]} " == *" project "* && ! -f $SHARED_DIR/models/$start && ! -f build/encoders/$start ]]; then
      "$bin/python" -m training.source_encoder
    fi
    # DVC reads pickled files from there; its own choice is a folder that every user of the machine shares.
    export DVC_SITE_CACHE_DIR=${DVC_SITE_CACHE_DIR:-$PWD/.tools/dvc-site} DVC_NO_ANALYTICS=1
    # DVC starts the stages with the first `python` there is.
    PATH=$bin:$PATH .tools/dvc/bin/dvc --cd training repro "${models[@]/#/model_registration@}"
    for model in "${models[@]}"; do
      .tools/tracking/bin/python -m training.tracking "training/results/$model"
    done
    ;;
  *) fail "PROFILE is small or full, not $profile" ;;
esac
