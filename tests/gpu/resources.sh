#!/usr/bin/env bash
# Registers, shared memory and spills of every kernel that a test or benchmark instantiates, for both architectures.
#   tests/gpu/resources.sh [SOURCE.cu...]        without arguments: every test
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
sources=("$@")
[[ $# -gt 0 ]] || mapfile -t sources < <(find tests -name '*_test.cu' | LC_ALL=C sort)
for source in "${sources[@]}"; do
  nvcc -std=c++20 -O3 -I include -I tests -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90a,code=sm_90a \
    -Xptxas=-v -c -o /dev/null "$source" 2>&1
done | c++filt | awk '
  /Compiling entry function/ { match($0, /for .sm_[0-9a-z]+/); arch = substr($0, RSTART + 5, RLENGTH - 5)
                               name = $0; sub(/.*entry function ./, "", name); sub(/. for .sm_.*/, "", name)
                               sub(/\(.*/, "", name); sub(/^void /, "", name) }
  /bytes stack frame/        { spilled = $5 + $9 }
  /Used [0-9]+ registers/    { match($0, /Used [0-9]+/); registers = substr($0, RSTART + 5, RLENGTH - 5)
                               smem = match($0, /[0-9]+ bytes smem/) ? substr($0, RSTART, RLENGTH - 11) : 0
                               printf "%-6s %4d registers %6d static smem %4d bytes spilled  %s\n", arch, registers, smem, spilled, name }' | sort -u
