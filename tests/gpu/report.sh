#!/usr/bin/env bash
# Runs the CUDA tests, then the small ones (tag [sanitize]) under compute-sanitizer, and says in Markdown what came out.
#   report.sh PROGRAM REPORT
# LACUNA_COMMIT names the commit where the tree is not a checkout.
set -uo pipefail
program=$1 report=$2
here=$(dirname "${BASH_SOURCE[0]}")
commit=${LACUNA_COMMIT:-$(git -C "$here" rev-parse --short HEAD 2>/dev/null || echo unknown)}
failed=0

row() {  # row WHAT COMMAND...
  local what=$1 out status
  shift
  out=$(timeout 900 "$@" 2>&1)
  status=$?
  [[ $status -eq 0 ]] || { failed=1 && tail -n 60 <<<"$out" >&2; }
  printf '| %s | %s | %s |\n' "$what" "$([[ $status -eq 0 ]] && echo passed || echo "FAILED ($status)")" \
    "$(grep -E 'All tests passed|test cases:|ERROR SUMMARY|RACECHECK SUMMARY' <<<"$out" | tr -s '= ' ' ' | paste -sd ';')"
}

{
  echo "# The CUDA twins on a GPU"
  echo
  echo "Written by \`bash tests/run.sh --gpu\`. CI has no GPU: it compiles these sources for sm_80 and sm_90a, and this page says"
  echo "what they did on one. The test \`gpu.report\` fails when the sources are no longer those that were run."
  echo
  echo "- sources: $(bash "$here/sources.sh")"
  echo "- commit: $commit"
  echo "- device: $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -n 1)"
  echo "- compiler: $(nvcc --version | grep -o 'release [0-9.]*')"
  echo
  echo "| what | result | summary |"
  echo "|---|---|---|"
  row "all tests" "$program"
  row "small tests, compute-sanitizer memcheck" compute-sanitizer --tool memcheck --error-exitcode 9 "$program" "[sanitize]"
  row "small tests, compute-sanitizer racecheck, generic path" \
    env LACUNA_CUDA_PATH=generic compute-sanitizer --tool racecheck --error-exitcode 9 "$program" "[sanitize]"
  row "small tests, compute-sanitizer initcheck" compute-sanitizer --tool initcheck --error-exitcode 9 "$program" "[sanitize]"
} >"$report"
cat "$report"
exit "$failed"
