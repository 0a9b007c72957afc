#!/usr/bin/env bash
# Runs the CUDA tests, each in a process of its own, and small ones under compute-sanitizer beside them, and says in Markdown
# what came out.
#   report.sh PROGRAM REPORT
# A test may take LACUNA_TEST_SECONDS, all together LACUNA_GPU_SECONDS. What hangs is named and costs no more than that, and
# the report is written in any case. LACUNA_COMMIT names the commit where the tree is not a checkout.
set -uo pipefail
program=$1 report=$2
here=$(dirname "${BASH_SOURCE[0]}")
commit=${LACUNA_COMMIT:-$(git -C "$here" rev-parse --short HEAD 2>/dev/null || echo unknown)}
seconds=${LACUNA_TEST_SECONDS:-60}
deadline=$(($(date +%s) + ${LACUNA_GPU_SECONDS:-540}))
failed=0

# A test or two of every kernel, those with small shapes and odd layouts: a sanitizer makes them tens of times slower. racecheck
# gets those without rings: it reports rings whose copies arrive at their barriers by themselves, also where every lane arrives.
small="cuda attend dense: any layout*,cuda attend pages: windows*,*eight bits: lists*,cuda attend tokens*"
small+=",cuda bound scores*,cuda coverage*,cuda gather kv*,cuda page bounds*,cuda append kv*,cuda page mass*,cuda smooth*"
small+=",cuda merge states*,cuda pick blocks*,cuda pick pages*,cuda pooled scores: layouts*,cuda window scores: layouts*"
rings="cuda attend band: windows*,cuda attend blocks: pages*,cuda attend dense: a few*,cuda attend vertical-slash: pages*"
rings+=",cuda flash_wgmma: one full tile,cuda flash_wgmma: window*"

names() {  # names FILTER: of its tests, a line each; Catch2 v2 lists them, v3 only as XML
  local listed
  listed=$("$program" --list-test-names-only "$1" 2>/dev/null)
  [[ -n $listed && $listed != *"nrecognised token"* ]] ||
    listed=$("$program" --list-tests --reporter xml "$1" | sed -n 's:.*<Name>\(.*\)</Name>.*:\1:p' | sed 's/&lt;/</g; s/&amp;/\&/g')
  printf '%s\n' "$listed"
}
one() {  # one LOG NAME COMMAND...: LOG.name comes first and LOG.status last, so that a test without a status is one that hangs
  local log=$1 name=$2 left=$((deadline - $(date +%s)))
  echo "$name" >"$log.name"
  name=${name//,/\\,} && name=${name//\[/\\[}
  [[ $left -gt 0 ]] || { echo "not begun" >"$log.status" && return; }
  timeout -k 5 "$((left < seconds ? left : seconds))" "${@:3}" "$name" >"$log.out" 2>&1 &
  wait $!
  local status=$?
  kill -KILL -- -$! 2>/dev/null  # timeout leads a group: what a sanitizer has started is in it
  case $status in
    0) grep -q '^All tests passed' "$log.out" && echo passed || echo "exit code 0, but nothing was tested" ;;
    124 | 137) echo "did not end in $((left < seconds ? left : seconds)) s" ;;
    *) echo "exit code $status" ;;
  esac >"$log.status"
}
start() {  # start GROUP JOBS FILTER COMMAND...: every test that the filter finds, JOBS at once
  local i=0 running=0 name
  while IFS= read -r name; do
    [[ -n $name ]] || continue  # which would run everything
    if [[ $running -eq $2 ]]; then wait -n; else running=$((running + 1)); fi
    i=$((i + 1))
    one "$logs/$1.$((1000 + i))" "$name" "${@:4}" &
  done < <(names "$3")
  wait
  touch "$logs/$1.ended"
}
row() {  # row GROUP WHAT: a line of the table; what did not pass goes to $logs/failures
  local log status all=0 passed=0 result=passed summary
  for log in "$logs/$1".*.name; do
    [[ -f $log ]] || continue
    log=${log%.name} && all=$((all + 1))
    status=$(cat "$log.status" 2>/dev/null || echo "did not end")
    [[ $status != passed ]] || { passed=$((passed + 1)) && continue; }
    failed=1
    case $status in exit*) result=FAILED ;; *) [[ $result == FAILED ]] || result="NOT ENDED" ;; esac
    printf -- '- %s, `%s`: %s\n' "$2" "$(<"$log.name")" "$status" >>"$logs/failures"
    [[ ! -f $log.out ]] || { echo "== $(<"$log.name"): $status" && tail -n 40 "$log.out"; } >&2
  done
  if [[ ! -f $logs/$1.ended || $all -eq 0 ]]; then
    failed=1 result="NOT ENDED"
    echo "- $2: not all of its tests were begun" >>"$logs/failures"
  fi
  summary=$(cat "$logs/$1".*.out 2>/dev/null | awk '/^All tests passed/ { n += substr($4, 2) } END { print n + 0 }')
  printf '| %s | %s | %s assertions in %s of %s test cases |\n' "$2" "$result" "$summary" "$passed" "$all"
  cat "$logs/$1".*.out 2>/dev/null | grep -E 'RACECHECK SUMMARY: [1-9]' | tr -d '=' | sed 's/^ */- /' >>"$logs/failures"
}

logs=$(mktemp -d)
trap 'kill $(jobs -rp) 2>/dev/null; rm -rf "$logs"' EXIT
touch "$logs/failures"
check=(compute-sanitizer --error-exitcode 9 --tool)
{  # nobody who reads what this script says shall wait for a test that does not end
  start all 4 "~[.]" "$program" &
  start asked 1 "[.]" "$program" &
  start memcheck 2 "$small,$rings" "${check[@]}" memcheck "$program" &
  start initcheck 2 "$small,$rings" "${check[@]}" initcheck "$program" &
  start racecheck 2 "$small" env LACUNA_CUDA_PATH=generic "${check[@]}" racecheck "$program" &
} >/dev/null 2>&1
# Not `wait`: a process that holds a hung kernel may not end at all.
while [[ $(find "$logs" -name '*.ended' | wc -l) -lt 5 && $(date +%s) -lt $((deadline + 10)) ]]; do sleep 1; done

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
  row asked "tests that run only where they are asked for"
  row memcheck "compute-sanitizer memcheck, small tests of every kernel"
  row initcheck "compute-sanitizer initcheck, the same"
  row racecheck "compute-sanitizer racecheck, those without rings in shared memory"
  echo
  cat "$logs/failures"
} >"$report"
cat "$report"
exit "$failed"
