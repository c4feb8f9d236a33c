#!/bin/bash
# Pin every requirement with its hashes; the files name no index and no machine.
# lock.txt holds everything, runtime.txt what the image runs, build.txt what builds its wheel, all in the same versions.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools/venv"
"$tools/venv/bin/pip" install --quiet pip-tools

compile() { # name, then what to compile
  local name=$1
  shift
  "$tools/venv/bin/pip-compile" --quiet --generate-hashes --strip-extras --allow-unsafe \
    --no-header --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
    --output-file "$tools/$name.txt" "$@"
  if grep -nE '://|^-' "$tools/$name.txt"; then
    echo "$name.txt would name an index or a path: nothing written" >&2
    exit 1
  fi
}

cp requirements/lock.txt "$tools/lock.txt" 2>/dev/null || true
compile lock --extra dev "$@" pyproject.toml
cp "$tools/lock.txt" "$tools/runtime.txt"
compile runtime pyproject.toml
cp "$tools/lock.txt" "$tools/build.txt"
compile build - <<<hatchling
cp "$tools"/{lock,runtime,build}.txt requirements/
