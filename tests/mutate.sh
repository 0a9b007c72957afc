#!/usr/bin/env bash
# Breaks the library on purpose, one small change at a time, and sees whether the tests notice.
#   bash tests/mutate.sh [pattern]     only mutations whose line contains the pattern
# The list is tests/mutations.txt: header | sed expression | test source | test that must fail | what was broken.
# Works in a copy under a temporary folder; the tree itself is never touched.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cxx=${CXX:-g++}
catch=$("$cxx" -E -P -x c++ - <<< '#if __has_include(<catch2/catch_all.hpp>)
-lCatch2
#endif')
flags=(-std=c++20 -O1 -pthread -I "$work/include" -I "$root/tests")

"$cxx" "${flags[@]}" -c "$root/tests/support/main.cpp" -o "$work/main.o"
missed=0
while IFS='|' read -r header change source name broken; do
  header=${header// /} source=${source// /} name=$(xargs <<< "$name") broken=$(xargs <<< "$broken")
  change=$(sed 's/^ *//; s/ *$//' <<< "$change")
  rm -rf "$work/include" && cp -r "$root/include" "$work/include"
  sed -i "$change" "$work/include/lacuna/$header"
  if cmp -s "$root/include/lacuna/$header" "$work/include/lacuna/$header"; then
    verdict="STALE (the expression changes nothing)" missed=1
  elif ! "$cxx" "${flags[@]}" "$root/tests/$source" "$work/main.o" $catch -o "$work/tests" 2> "$work/log"; then
    verdict="BROKEN (does not compile: $(grep -m1 error "$work/log"))" missed=1
  elif timeout 120 "$work/tests" "$name" > "$work/log" 2>&1; then
    verdict="SURVIVED" missed=1
  elif grep -q 'No test cases matched\|No tests ran' "$work/log"; then
    verdict="NO SUCH TEST" missed=1
  else
    verdict="caught"
  fi
  printf '%-9s %-36s %s -> %s\n' "$verdict" "$header" "$broken" "$name"
done < <(grep -v '^#' "$root/tests/mutations.txt" | grep -F -- "${1:-}")
exit "$missed"
