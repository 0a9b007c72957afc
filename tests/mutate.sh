#!/usr/bin/env bash
# Breaks the library on purpose, one small change at a time, and sees whether the tests notice.
#   bash tests/mutate.sh [text]     only the mutations whose line contains the text
# Works on copies of include/ in a temporary folder, as many at a time as there are cores; prints one line per mutation and exits
# with 1 when one goes unnoticed.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
flags=(-std=c++20 -O1 -w -pthread -I "$root/tests")
cxx=${CXX:-g++}

trim() { sed 's/^ *//; s/ *$//' <<< "$1"; }

try() {  # try LINE: exits with 0 when the named test notices
  local header change source name broken own verdict
  IFS='@' read -r header change source name broken <<< "$1"
  header=$(trim "$header") change=$(trim "$change") source=$(trim "$source") name=$(trim "$name") broken=$(trim "$broken")
  own=$(mktemp -d -p "$work")
  cp -r "$root/include" "$own/include"
  sed -i "$change" "$own/include/lacuna/$header"
  if cmp -s "$root/include/lacuna/$header" "$own/include/lacuna/$header"; then
    verdict="STALE: the expression changes nothing"
  elif ! "$cxx" "${flags[@]}" -I "$own/include" "$root/tests/$source" "$work"/*.o $libraries -o "$own/tests" 2> "$own/log"; then
    verdict="BROKEN: does not compile"
  else
    timeout 300 "$own/tests" "${name//,/\\,}" > "$own/log" 2>&1 && verdict="SURVIVED" || verdict="caught"
    if grep -q "No test cases matched\|No tests ran" "$own/log"; then verdict="NO SUCH TEST"; fi
  fi
  rm -rf "$own"
  echo "$verdict: $broken ($header) -> $name"
  [[ $verdict == caught ]]
}

if [[ ${1:-} == --one ]]; then
  work=$2 libraries=$4
  try "$3"
  exit
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
libraries=""
if "$cxx" -E -x c++ - <<< '#include <catch2/catch_all.hpp>' > /dev/null 2>&1; then libraries=-lCatch2; fi
for part in main heap; do
  "$cxx" "${flags[@]}" -I "$root/include" -c "$root/tests/support/$part.cpp" -o "$work/$part.o"
done
grep -v '^#' "$root/tests/mutations.txt" | grep -F -- "${1:-}" |
  xargs -d '\n' -P "$(nproc)" -I '{}' bash "${BASH_SOURCE[0]}" --one "$work" '{}' "$libraries" || exit 1
