#!/bin/bash
# Pin every requirement with its hashes in requirements/lock.txt; the file names no index and no machine.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools/venv"
"$tools/venv/bin/pip" install --quiet pip-tools
cp requirements/lock.txt "$tools/lock.txt" 2>/dev/null || true
"$tools/venv/bin/pip-compile" --quiet --extra dev --generate-hashes --strip-extras --allow-unsafe \
  --no-header --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
  --output-file "$tools/lock.txt" "$@" pyproject.toml
if grep -nE '://|^-' "$tools/lock.txt"; then
  echo "the lock would name an index or a path: nothing written" >&2
  exit 1
fi
cp "$tools/lock.txt" requirements/lock.txt
