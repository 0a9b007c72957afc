#!/usr/bin/env bash
# Installs what is missing, builds the evaluation and runs it: a table here, and records, summary and picture in out/.
#   examples/run.sh [arguments for `frontier run`]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash cmake/install_packages.sh --for examples
cmake --preset release
cmake --build --preset release --parallel "$(nproc)" --target lacuna_frontier_program
exec build/release/examples/frontier run "$@"
