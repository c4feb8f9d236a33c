#!/bin/bash
# Install the tools that check the OpenAPI document and generate TypeScript from it, into .local/tools/openapi.
# `lock` resolves tests/openapi/package.json anew; the lock file has hashes and names no registry.
set -euo pipefail
cd "$(dirname "$0")/.."

here=tests/openapi
tools=.local/tools/openapi
npm() { command npm --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error "$@"; }

if [ "${1:-}" = lock ]; then
  (cd $here && npm install --package-lock-only --omit-lockfile-registry-resolved=true)
  .venv/bin/python - $here/package-lock.json <<'PYTHON'
import json, sys
from pathlib import Path
path = Path(sys.argv[1])
lock = json.loads(path.read_text())
for package in lock["packages"].values():
    package.pop("funding", None)
path.write_text(json.dumps(lock, indent=2) + "\n")
PYTHON
  exit
fi

wanted=$(sha256sum <$here/package-lock.json)
[ "$(cat $tools/.installed 2>/dev/null)" = "$wanted" ] && exit 0
rm -rf $tools
mkdir -p $tools
cp $here/package.json $here/package-lock.json $tools/
(cd $tools && npm ci >/dev/null)
echo "$wanted" >$tools/.installed
