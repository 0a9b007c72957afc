#!/usr/bin/env bash
# Installs what is missing, configures, builds and runs every test; ends with CTest's summary.
#   tests/run.sh [--strict | --asan | --tsan] [arguments for ctest, such as -R quest]
#   tests/run.sh --fuzz [arguments for libFuzzer]: each target for a minute, by clang
#   tests/run.sh --gpu: the CUDA twins on this machine's GPU; writes what tests/gpu_report.md is, below build/gpu
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

preset=default
case ${1:-} in
  --strict | --asan | --tsan | --fuzz | --gpu) preset=${1#--} && shift ;;
esac

bash cmake/install_packages.sh --for tests
options=()
if [[ $preset == gpu ]]; then
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)
  [[ $capability -ge 90 ]] && options=(-D LACUNA_CUDA_ARCHITECTURES=90a-real) || options=(-D LACUNA_CUDA_ARCHITECTURES=80-real)
fi
cmake --preset "$preset" "${options[@]}"
cmake --build --preset "$preset" --parallel "$(nproc)"
if [[ $preset == fuzz ]]; then
  for target in build/fuzz/tests/fuzz/lacuna_*_fuzz; do "$target" -max_total_time=60 -max_len=400 "$@"; done
  exit
fi
[[ $preset == gpu ]] && exec bash tests/gpu/report.sh build/gpu/tests/gpu/lacuna_gpu_tests build/gpu/gpu_report.md
exec ctest --preset "$preset" --parallel "$(nproc)" "$@"
