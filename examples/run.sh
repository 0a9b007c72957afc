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
models=() # the largest last; not the one that was trained for three of the nine tasks alone
for weights in $(ls -Sr examples/frontier/models/*/model.safetensors); do
  [[ $weights == */small/* ]] || models+=("${weights%/*}")
done
largest=${models[-1]}
run() { "$frontier" run --out out --quiet "$@"; }

# Models by lengths, the study's six methods: frontier, equal cost, maximum compression, laws. 8K tokens for those that
# were trained for them.
for model in "${models[@]}"; do
  lengths=1024,2048,4096 samples=12,8,4
  trained=$(grep -o '"length": *[0-9]*' "$model/training.json" | tail -1 | tr -dc 0-9)
  if ((trained >= 8192)); then lengths+=,8192 samples+=,2; fi
  run --models "$model" --methods dense,vertical-slash,flexprefill,block-sparse,snapkv,ada-snapkv,quest \
    --budgets 1/2,1/5,1/10,1/20 --lengths "$lengths" --samples "$samples" "$@"
done
# Budgets of the last of them, the largest, fitted to all lengths but the longest, and run there.
for method in vertical-slash ada-snapkv quest; do
  for error in 0.1 0.2; do
    if budget=$("$frontier" budget --out out --model "${largest##*/}" --method "$method" --error "$error" --lengths "${lengths%,*}"); then
      run --models "$largest" --methods "dense,$method" --budgets "$budget" --lengths "${lengths##*,}" --samples "${samples##*,}" "$@"
    fi
  done
done
# Everything else on one model: controls, codes of 8 bits, other budgets, other settings, keys of words, a second question.
run --models "$largest" --budgets 1/5,1/20 --lengths 1024 --samples 2 "$@"
run --models "$largest" --methods dense,quest,quest-int8,quest-fp8,quest-oracle,quest-random,snapkv,snapkv-oracle,snapkv-random,ada-snapkv,spread-snapkv,quest-top-p \
  --budgets 1/5,1/10,1/20 --lengths 2048 --samples 5 "$@"
run --models "$largest" --methods dense,block-sparse:unit=16,block-sparse:unit=32,quest:unit=16,quest:unit=32,ada-snapkv:floor=1,ada-snapkv:floor=50,ada-snapkv:floor=99,snapkv:window=16,snapkv:window=256,snapkv:smoothing=1,snapkv:smoothing=21,flexprefill:floor=64,flexprefill:floor=256,vertical-slash:window=16,vertical-slash:window=256 \
  --budgets 1/5,1/20 --lengths 2048 --samples 2 "$@"
run --models "$largest" --tasks niah_words --methods dense,quest,snapkv,ada-snapkv --budgets 1/5,1/10,1/20 --lengths 2048 --samples 5 "$@"
run --models "$largest" --turns 2 --tasks niah,vt,story_retrieval,story_multihop,qa_squad,qa_quality,qa_toefl \
  --methods dense,snapkv,ada-snapkv,quest,tova,h2o --budgets 1/2,1/5,1/10 --lengths 2048 --samples 5 "$@"
"$frontier" report --out out --model "$largest"
