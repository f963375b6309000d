#!/usr/bin/env bash
# Remove from an image's Python environment what the service never loads. Used by the Dockerfile.
set -euo pipefail

usage='usage: tools/prune_packages.sh ENVIRONMENT serve|learn|torch|ray'
environment=${1:?$usage}
flavour=${2:?$usage}
packages=("$environment"/lib/python3.*/site-packages)

# tokenizers and OpenVINO ask for these: a client that downloads models, and a reporter of use to a third party. The
# service downloads nothing and tells nobody. What else only the client needs goes with it.
client=(huggingface-hub hf-xet httpx2 httpcore2 truststore filelock fsspec pyyaml tqdm)
reporter=(openvino-telemetry)
unwanted=("${reporter[@]}")
[[ $flavour == serve || $flavour == learn ]] && unwanted+=("${client[@]}")
pip --python "$environment/bin/python" uninstall --yes --quiet "${unwanted[@]}"

# OpenVINO: the processor's plugin and the reader of its own format; named by what stays, so that the next version's
# new plugin or frontend does not come in unnoticed.
cd "${packages[0]}/openvino"
find libs -type f ! \( \
  -name 'libopenvino.so.*' -o -name 'libopenvino_intel_cpu_plugin.so' -o -name 'libopenvino_arm_cpu_plugin.so' \
  -o -name 'libopenvino_ir_frontend.so.*' -o -name 'libtbb*.so*' -o -name 'libhwloc.so.*' \) -delete
find frontend -mindepth 1 -maxdepth 1 -type d -exec rm -rf {} +
rm -rf cmake include tools torch

cd ..
# Ray's own program starts its processes and takes jobs.
find "$environment/bin" -type f ! -name "$([[ $flavour == ray ]] && echo ray)" -delete
# PyTorch and its like import their tests' modules and compile with their headers, and Ray brings programs and pages of
# its own: there the rest stays.
[[ $flavour == serve || $flavour == learn ]] || exit 0

# Tests, headers, sources and stubs, which only developers read.
find . -depth -type d \( -name test -o -name tests -o -name testing -o -name include \) -exec rm -rf {} +
find . -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' -o -name '*.a' \) -delete
