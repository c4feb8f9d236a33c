#!/bin/bash
# Create .venv and, unless called with `python`, install RabbitMQ and PostgreSQL; `drill` also installs siege,
# `polyglot` MariaDB, `browser` Chromium, `openapi` Node.js.
# It can be repeated: what is installed already is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv
stamp=$venv/.installed
what=${1:-all}

say() { echo "bootstrap: $*" >&2; }
fail() { say "$*"; exit 1; }

python=
for candidate in python3.11 python3 python3.12 python3.13; do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$candidate; break; fi
done
[ -n "$python" ] || fail "Python 3.11 or newer is needed: install python3"

# What .venv depends on: the requirements, the interpreter, and its path (scripts hold absolute paths).
wanted=$(cat requirements/lock.txt pyproject.toml <(pwd) <(echo "$("$python" -c 'import sys; print(sys.version, sys.base_prefix)')") | sha256sum)

venv_is_complete() {
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && [ -x $venv/bin/yeyak ] && packages_are_found
}

packages_are_found() {
  $venv/bin/python - 2>/dev/null <<'PYTHON'
import sys
from importlib.machinery import PathFinder
names = "faststream aio_pika aiormq sqlalchemy asyncpg starlette uvicorn pydantic typer structlog psutil pytest ops"
sys.exit(any(PathFinder.find_spec(name) is None for name in names.split()))
PYTHON
}

# Runs a command and says every ten seconds what it is at.
showing() {
  local what=$1 began=$SECONDS ticker
  shift
  (while sleep 10 && [ -e /proc/$$/exe ]; do say "$what ($((SECONDS - began)) s)$(progress)"; done) &
  ticker=$!
  "$@"
  kill $ticker 2>/dev/null || true
}
trap 'say "stopped: run the same command again, it goes on from here"; exit 130' INT

progress() {
  local site
  [ "$installing" = python ] || return 0
  site=$(find $venv/lib -maxdepth 2 -name site-packages 2>/dev/null | head -n 1)
  [ -z "$site" ] || echo ": $(find "$site" -maxdepth 1 -name '*.dist-info' | wc -l) of $(grep -c '==' requirements/lock.txt)"
}
installing=

have_rabbitmq() { [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || command -v rabbitmq-server >/dev/null; }
have_postgres() { compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || command -v initdb >/dev/null; }
have_mariadb() { [ -x /usr/sbin/mariadbd ] && command -v mariadb-install-db >/dev/null && command -v my_print_defaults >/dev/null; }
have_browser() { command -v chromium >/dev/null; }
have_npm() { command -v node >/dev/null && command -v npm >/dev/null; }
have_ensurepip() { "$python" -c 'import ensurepip, venv' 2>/dev/null; }

missing_packages() {
  have_ensurepip || [ -x $venv/bin/pip ] || echo python3-venv
  [ "$what" = python ] && return
  if [ "$what" = drill ] && ! command -v siege >/dev/null; then echo siege; fi
  [ "$what" != polyglot ] || have_mariadb || printf '%s\n' mariadb-server-core mariadb-client-core # these start no server
  if [ "$what" = openapi ] && ! have_npm; then printf '%s\n' nodejs npm; fi
  [ "$what" = browser ] && ! have_browser && echo chromium && echo fonts-noto-cjk
  [ -n "${YEYAK_AMQP_URL:-}" ] && [ -n "${YEYAK_DATABASE_URL:-}" ] && return
  have_rabbitmq || echo rabbitmq-server
  have_postgres || echo postgresql
}

apt() {
  DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" >&2 </dev/null
}

apt_install() {
  apt install --no-install-recommends "$@" 2>/dev/null && return
  apt update && apt install --no-install-recommends "$@"
}

# Keeps the packages from starting servers on the default ports and from creating a database cluster.
install_without_starting() {
  local policy=/usr/sbin/policy-rc.d cluster=/etc/postgresql-common/createcluster.conf kept
  kept=$(mktemp -d)
  [ -e $policy ] && cp -p $policy "$kept/policy"
  restore() {
    if [ -e "$kept/policy" ]; then cp -p "$kept/policy" $policy; else rm -f $policy; fi
    if [ -e "$kept/cluster" ]; then cp -p "$kept/cluster" $cluster; fi
    rm -rf "$kept"
  }
  trap restore EXIT
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod 755 $policy
  if [[ " $* " == *" postgresql "* ]]; then
    apt_install postgresql-common || fail "apt-get could not install postgresql-common"
    cp -p $cluster "$kept/cluster"
    echo 'create_main_cluster = false' >>$cluster
  fi
  apt_install "$@" || fail "apt-get could not install $*"
  restore
  trap - EXIT
}

make_venv() {
  if ! { [ -f "$stamp" ] && $venv/bin/python -m pip --version >/dev/null 2>&1; }; then
    rm -rf $venv
    "$python" -m venv $venv
  fi
  rm -f "$stamp"
  install_packages || {
    say "the environment is damaged; creating it again"
    rm -rf $venv
    "$python" -m venv $venv
    install_packages
  }
  packages_are_found || { rm -rf $venv; "$python" -m venv $venv; install_packages; }
  echo "$wanted" >"$stamp"
}

install_packages() {
  local pip="$venv/bin/python -m pip --disable-pip-version-check --quiet --quiet"
  $pip install --require-hashes --no-deps --only-binary :all: -r requirements/lock.txt </dev/null &&
    $pip install --no-deps --no-build-isolation --no-index --editable . </dev/null
}

if venv_is_complete && [ -z "$(missing_packages)" ]; then exit 0; fi

command -v flock >/dev/null || fail "flock is needed: install util-linux"
exec 9>".bootstrap.lock"
flock 9

mapfile -t missing < <(missing_packages)
if [ ${#missing[@]} -gt 0 ]; then
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
    fail "you are not root: run \`sudo apt-get install ${missing[*]}\` and try again"
  say "installing ${missing[*]}"
  showing "installing ${missing[*]}" install_without_starting "${missing[@]}" 9>&-
fi

if ! venv_is_complete; then
  say "installing $(grep -c '==' requirements/lock.txt) Python packages into $venv"
  installing=python
  showing "installing Python packages" make_venv 9>&-
fi
