#!/usr/bin/env bash
# What including the library costs: user seconds of the compiler, the best of three, each as one line.
#   bash bench/compile_time.sh          CXX=clang++ for another compiler
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cxx=${CXX:-g++}

seconds() {
  local best=999
  for _ in 1 2 3; do
    local spent
    spent=$( { TIMEFORMAT=%U; time "$cxx" -std=c++20 -I "$root/include" "$@" -o "$work/out.o"; } 2>&1)
    best=$(awk -v a="$best" -v b="$spent" 'BEGIN { print a < b ? a : b }')
  done
  echo "$best"
}

# method HEADER: a file that instantiates Quest in bf16.
method() {
  cat << EOF
#include "$1"
using namespace lacuna;
Status run(Cpu exec, Problem<bfloat16> const& p, Workspace w, PageIndex& index, AttentionOut<bfloat16> const& out) {
  return Quest{}.run(exec, p, w, index, out);
}
EOF
}

echo '#include "lacuna/lacuna.hpp"' > "$work/alone.cpp"
method lacuna/lacuna.hpp > "$work/method.cpp"
method lacuna/methods/quest.hpp > "$work/own_header.cpp"
echo "lacuna.hpp alone, -O0: $(seconds -O0 -c "$work/alone.cpp") s"
echo "one method instantiated, -O2: $(seconds -O2 -c "$work/method.cpp") s"
echo "the same with the method's own header alone, -O2: $(seconds -O2 -c "$work/own_header.cpp") s"
