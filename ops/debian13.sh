#!/bin/bash
# Create .local/debian13, a Debian 13 with RabbitMQ 4 in a folder; nothing of it is started. Takes a minute, once.
# A link in it leads from its own path back to its root, so that files have the same path inside and outside.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)/.local/debian13

fail() { echo "debian13: $*" >&2; exit 1; }

[ -e "$root/.made" ] && exit 0
[ "$(id -u)" = 0 ] || fail "debootstrap needs root"
if ! command -v debootstrap >/dev/null; then
  DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends debootstrap >&2 </dev/null
fi
mkdir -p "$(dirname "$root")"
exec 9>"$root.lock"
flock 9
[ -e "$root/.made" ] && exit 0
rm -rf "$root"
log=$root.log
debootstrap --variant=minbase --include=rabbitmq-server trixie "$root" >"$log" 2>&1 || fail "see $log: $(tail -n 1 "$log")"
mkdir -p "$root$(dirname "$root")" "$root/srv"
ln -s / "$root$root"
touch "$root/.made"
