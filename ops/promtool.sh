#!/bin/bash
# Run promtool: the installed one, or the distribution's, unpacked into .local/tools. Nothing is installed or started.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
tool=$root/.local/tools/prometheus/usr/bin/promtool

fetch() {
  local deb
  deb=$(mktemp -d)
  chmod 755 "$deb"
  (cd "$deb" && { apt-get -q download prometheus || { apt-get -q update && apt-get -q download prometheus; }; }) >&2
  mkdir -p "$deb/unpacked" "$root/.local/tools"
  dpkg -x "$deb"/prometheus_*.deb "$deb/unpacked"
  rm -rf "$root/.local/tools/prometheus"
  mv "$deb/unpacked" "$root/.local/tools/prometheus"
  rm -rf "$deb"
}

installed=$(command -v promtool || true)
if [ -z "$installed" ] && [ ! -x "$tool" ]; then
  mkdir -p "$root/.local"
  (flock 9; [ -x "$tool" ] || fetch) 9>"$root/.local/promtool.lock"
fi
exec "${installed:-$tool}" "$@"
