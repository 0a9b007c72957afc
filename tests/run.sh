#!/usr/bin/env bash
# Installs what is missing, configures, builds and runs every test; ends with CTest's summary.
#   tests/run.sh [--strict | --asan | --tsan] [arguments for ctest, such as -R quest]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

preset=default
case ${1:-} in
  --strict | --asan | --tsan) preset=${1#--} && shift ;;
esac

bash cmake/install_packages.sh --for tests
cmake --preset "$preset"
cmake --build --preset "$preset" --parallel "$(nproc)"
exec ctest --preset "$preset" --parallel "$(nproc)" "$@"
