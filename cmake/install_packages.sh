#!/usr/bin/env bash
# Installs the packages that are missing, and says in one line what it did.
#   install_packages.sh NAME...          these packages
#   install_packages.sh --for tests      those that packages.txt lists for tests, examples or bench
# Needs bash and apt-get, and root or sudo if anything is missing. LACUNA_SKIP_PACKAGES=1 leaves the machine alone.
set -euo pipefail

die() {
  echo "packages: $*" >&2
  exit 1
}

wanted=()
if [[ ${1:-} == --for ]]; then
  purpose=${2:?packages: --for needs tests, examples or bench}
  while read -r name users _; do
    [[ ,$users, == *",$purpose,"* && $name != \#* ]] && wanted+=("$name")
  done <"$(dirname "${BASH_SOURCE[0]}")/packages.txt"
  [[ ${#wanted[@]} -gt 0 ]] || die "packages.txt lists nothing for '$purpose'"
else
  wanted=("$@")
fi

if [[ ${LACUNA_SKIP_PACKAGES:-0} == 1 ]]; then
  echo "packages: skipped, as LACUNA_SKIP_PACKAGES=1 asks"
  exit 0
fi
command -v apt-get >/dev/null || die "no apt-get here; install the like of: ${wanted[*]}; then set LACUNA_SKIP_PACKAGES=1"

missing=()
for name in "${wanted[@]}"; do
  status=$(dpkg-query -W -f '${db:Status-Status} ' "$name" 2>/dev/null || true)
  [[ $status == *"installed "* && $status != *"not-installed"* ]] || missing+=("$name")
done
if [[ ${#missing[@]} -eq 0 ]]; then
  echo "packages: all present"
  exit 0
fi

as_root=(env)
if [[ $(id -u) -ne 0 ]]; then
  command -v sudo >/dev/null || die "need root or sudo to install: ${missing[*]}"
  as_root=(sudo)
  [[ -t 0 ]] || as_root=(sudo -n)
  as_root+=(env)
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() { "${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1 </dev/null; }
add() { apt install --no-install-recommends "${missing[@]}"; }

# A fresh image has no lists at all and an old one has stale lists: both fail here first, and fetching lists cures both.
if ! add && ! { apt update && add; }; then
  tail -n 20 "$log" >&2
  die "apt-get could not install: ${missing[*]}"
fi
echo "packages: installed ${missing[*]}"
