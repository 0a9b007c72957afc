#!/usr/bin/env bash
# Runs the CUDA tests, and small ones under compute-sanitizer beside them, and says in Markdown what came out.
#   report.sh PROGRAM REPORT
# LACUNA_COMMIT names the commit where the tree is not a checkout.
set -uo pipefail
program=$1 report=$2
here=$(dirname "${BASH_SOURCE[0]}")
commit=${LACUNA_COMMIT:-$(git -C "$here" rev-parse --short HEAD 2>/dev/null || echo unknown)}
failed=0

# A test or two of every kernel, those with small shapes and odd layouts: a sanitizer makes them tens of times slower. racecheck
# gets those without rings: it reports rings whose copies arrive at their barriers by themselves, also where every lane arrives.
small="cuda attend dense: any layout*,cuda attend pages: windows*,*eight bits: lists*,cuda attend tokens*"
small+=",cuda bound scores*,cuda coverage*,cuda gather kv*,cuda page bounds*,cuda append kv*,cuda page mass*,cuda smooth*"
small+=",cuda merge states*,cuda pick blocks*,cuda pick pages*,cuda pooled scores: layouts*,cuda window scores: layouts*"
rings="cuda attend band: windows*,cuda attend blocks: pages*,cuda attend dense: a few*,cuda attend vertical-slash: pages*"
rings+=",cuda flash_wgmma: one full tile,cuda flash_wgmma: window*"

start() {  # start NAME COMMAND...: its output goes to NAME's log
  timeout 900 "${@:2}" >"$logs/$1" 2>&1
  echo $? >"$logs/$1.status"
}
row() {  # row NAME WHAT
  local status
  status=$(<"$logs/$1.status")
  [[ $status -eq 0 ]] || { failed=1 && tail -n 60 "$logs/$1" >&2; }
  printf '| %s | %s | %s |\n' "$2" "$([[ $status -eq 0 ]] && echo passed || echo "FAILED ($status)")" \
    "$(grep -E 'All tests passed|test cases:|ERROR SUMMARY|RACECHECK SUMMARY' "$logs/$1" | tr -s '= ' ' ' | paste -sd ';')"
}

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
check=(compute-sanitizer --error-exitcode 9 --tool)
start all "$program" &
start memcheck "${check[@]}" memcheck "$program" "$small,$rings" &
start initcheck "${check[@]}" initcheck "$program" "$small,$rings" &
start racecheck env LACUNA_CUDA_PATH=generic "${check[@]}" racecheck "$program" "$small" &
wait

{
  echo "# The CUDA twins on a GPU"
  echo
  echo "Written by \`bash tests/run.sh --gpu\`. CI has no GPU: it compiles these sources for sm_80 and sm_90a, and this page says"
  echo "what they did on one. The test \`gpu.report\` is shown as skipped while the sources are not those that were run."
  echo
  echo "- sources: $(bash "$here/sources.sh")"
  echo "- commit: $commit"
  echo "- device: $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -n 1)"
  echo "- compiler: $(nvcc --version | grep -o 'release [0-9.]*')"
  echo
  echo "| what | result | summary |"
  echo "|---|---|---|"
  row all "all tests"
  row memcheck "compute-sanitizer memcheck, small tests of every kernel"
  row initcheck "compute-sanitizer initcheck, the same"
  row racecheck "compute-sanitizer racecheck, those without rings in shared memory"
} >"$report"
cat "$report"
exit "$failed"
