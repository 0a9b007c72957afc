#!/usr/bin/env bash
# Installs what is missing, configures, builds and runs every test; ends with CTest's summary.
#   tests/run.sh [--strict | --asan | --tsan] [arguments for ctest, such as -R quest]
#   tests/run.sh --fuzz [arguments for libFuzzer]: each target for a minute, by clang
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

preset=default
case ${1:-} in
  --strict | --asan | --tsan | --fuzz) preset=${1#--} && shift ;;
esac

bash cmake/install_packages.sh --for tests
cmake --preset "$preset"
cmake --build --preset "$preset" --parallel "$(nproc)"
if [[ $preset == fuzz ]]; then
  for target in build/fuzz/tests/fuzz/lacuna_*_fuzz; do "$target" -max_total_time=60 -max_len=400 "$@"; done
  exit
fi
exec ctest --preset "$preset" --parallel "$(nproc)" "$@"
