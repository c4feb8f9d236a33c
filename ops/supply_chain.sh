#!/bin/bash
# The supply chain: `ops/supply_chain.sh audit` checks the dependencies for known vulnerabilities,
# `ops/supply_chain.sh sbom FILE` writes the list of them.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools"

case ${1:-} in
  audit)
    "$tools/bin/pip" install --quiet 'pip-audit>=2.9,<3'
    "$tools/bin/pip-audit" --requirement requirements/lock.txt --require-hashes --disable-pip --strict --progress-spinner off
    ;;
  sbom)
    "$tools/bin/pip" install --quiet 'cyclonedx-bom>=7,<8'
    "$tools/bin/cyclonedx-py" requirements requirements/runtime.txt --pyproject pyproject.toml --mc-type application \
      --output-reproducible --output-format JSON --output-file "${2:?the file to write}"
    ;;
  *)
    echo "usage: ops/supply_chain.sh audit | sbom FILE" >&2
    exit 2
    ;;
esac
