#!/usr/bin/env bash
# Installs what is missing, builds the evaluation and runs it: a table here, and records, summary, report and figures in out/.
#   examples/run.sh [arguments for `frontier run`]
#   examples/run.sh --full      everything that the report can show, for every bundled model; resumes where it was stopped
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash cmake/install_packages.sh --for examples
cmake --preset release
cmake --build --preset release --parallel "$(nproc)" --target lacuna_frontier_program
frontier=build/release/examples/frontier
[[ ${1:-} == --full ]] || exec "$frontier" run "$@"

shift
models=()
for config in examples/frontier/models/*/config.json; do
  folder=$(dirname "$config")
  [[ $folder == */small ]] || models+=("$folder") # trained for three of the nine tasks alone
done
all=$(IFS=,; echo "${models[*]}")
largest=examples/frontier/models/nine
run() { "$frontier" run --out out --quiet "$@"; }

# Models by lengths, the study's six methods: frontier, equal cost, maximum compression, laws.
run --models "$all" --methods dense,vertical-slash,flexprefill,block-sparse,snapkv,ada-snapkv,quest \
  --budgets 1/2,1/5,1/10,1/20 --lengths 1024,2048,4096 --samples 8,5,2 "$@"
# Everything else on one model: controls, codes of 8 bits, other budgets, other settings, a second question.
run --models "$largest" --budgets 1/5,1/20 --lengths 1024 --samples 2 "$@"
run --models "$largest" --methods dense,quest,quest-int8,quest-fp8,quest-oracle,quest-random,snapkv,snapkv-oracle,snapkv-random,ada-snapkv,spread-snapkv,quest-top-p \
  --budgets 1/5,1/10,1/20 --lengths 2048 --samples 5 "$@"
run --models "$largest" --methods dense,block-sparse:unit=16,block-sparse:unit=32,quest:unit=16,quest:unit=32,ada-snapkv:floor=1,ada-snapkv:floor=50,ada-snapkv:floor=99,snapkv:window=16,snapkv:window=256,snapkv:smoothing=1,snapkv:smoothing=21,flexprefill:floor=64,flexprefill:floor=256,vertical-slash:window=16,vertical-slash:window=256 \
  --budgets 1/5,1/20 --lengths 2048 --samples 2 "$@"
run --models "$largest" --turns 2 --tasks niah,vt,story_retrieval,story_multihop,qa_squad,qa_quality,qa_toefl \
  --methods dense,snapkv,ada-snapkv,quest,tova,h2o --budgets 1/2,1/5,1/10 --lengths 2048 --samples 5 "$@"
"$frontier" report --out out --model "$largest"
