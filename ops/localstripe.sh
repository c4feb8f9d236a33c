#!/bin/bash
# Install localstripe, a stateful server of Stripe's interface for tests, into an environment of its own.
# `lock` pins it anew; the file has hashes and names no index.
set -euo pipefail
cd "$(dirname "$0")/.."

here=tests/payments/providers
tools=.local/tools/localstripe

if [ "${1:-}" = lock ]; then
  made=$(mktemp -d)
  trap 'rm -rf "$made"' EXIT
  .venv/bin/python -m venv "$made/venv"
  "$made/venv/bin/pip" install --quiet pip-tools
  "$made/venv/bin/pip-compile" --quiet --generate-hashes --strip-extras --allow-unsafe --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file "$made/lock.txt" $here/localstripe.in
  if grep -nE '://|^-' "$made/lock.txt"; then echo "the lock file would name an index: nothing written" >&2; exit 1; fi
  cp "$made/lock.txt" $here/localstripe.txt
  exit
fi

mkdir -p "$(dirname $tools)"
exec 9>$tools.lock
flock 9
wanted=$(cat $here/localstripe.txt <(.venv/bin/python -c 'import sys; print(sys.version)') | sha256sum)
[ "$(cat $tools/.installed 2>/dev/null)" = "$wanted" ] && exit 0
rm -rf $tools
.venv/bin/python -m venv $tools
pip="$tools/bin/python -m pip --disable-pip-version-check --quiet"
$pip install --require-hashes --no-deps --only-binary :all: -r <(sed '/^localstripe==/,/[^\\]$/d' $here/localstripe.txt)
$pip install --require-hashes --no-deps --no-build-isolation -r <(sed -n '/^localstripe==/,/[^\\]$/p' $here/localstripe.txt)
echo "$wanted" >$tools/.installed
