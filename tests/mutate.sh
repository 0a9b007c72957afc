#!/usr/bin/env bash
# Breaks the library on purpose, one small change at a time, and sees whether the tests notice.
#   bash tests/mutate.sh [text]     only the mutations whose line contains the text
# Works on a copy of include/ in a temporary folder; prints one line per mutation and exits 1 when one goes unnoticed.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cxx=${CXX:-g++}
flags=(-std=c++20 -O1 -w -pthread -I "$work/include" -I "$root/tests")
libraries=()
if "$cxx" -E -x c++ - <<< '#include <catch2/catch_all.hpp>' > /dev/null 2>&1; then libraries=(-lCatch2); fi

trim() { sed 's/^ *//; s/ *$//' <<< "$1"; }

cp -r "$root/include" "$work/include"
"$cxx" "${flags[@]}" -c "$root/tests/support/main.cpp" -o "$work/main.o"
unnoticed=0
while IFS='@' read -r header change source name broken; do
  header=$(trim "$header") change=$(trim "$change") source=$(trim "$source") name=$(trim "$name") broken=$(trim "$broken")
  rm -rf "$work/include" && cp -r "$root/include" "$work/include"
  sed -i "$change" "$work/include/lacuna/$header"
  if cmp -s "$root/include/lacuna/$header" "$work/include/lacuna/$header"; then
    verdict="STALE: the expression changes nothing"
  elif ! "$cxx" "${flags[@]}" "$root/tests/$source" "$work/main.o" "${libraries[@]}" -o "$work/tests" 2> "$work/log"; then
    verdict="BROKEN: does not compile"
  else
    timeout 300 "$work/tests" "${name//,/\\,}" > "$work/log" 2>&1 && verdict="SURVIVED" || verdict="caught"
    if grep -q "No test cases matched\|No tests ran" "$work/log"; then verdict="NO SUCH TEST"; fi
  fi
  [ "$verdict" = caught ] || unnoticed=1
  echo "$verdict: $broken ($header) -> $name"
done < <(grep -v '^#' "$root/tests/mutations.txt" | grep -F -- "${1:-}")
exit "$unnoticed"
