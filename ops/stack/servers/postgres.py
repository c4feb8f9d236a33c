"""A private PostgreSQL."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from typing import BinaryIO

import psutil

from ops.stack import processes
from ops.stack.files import write_atomically
from ops.stack.servers.server import Server, ServerFailed


class PostgresServer(Server):
    """PostgreSQL with the role `yeyak`, which owns its databases and may create more; `postgres` is the superuser."""

    name = "postgres"
    port_names = ("sql",)
    user = "yeyak"
    databases = ("yeyak", "yeyak_provider")
    _stop_signal = signal.SIGINT  # fast shutdown: does not wait for clients to leave

    @property
    def database_url(self) -> str:
        return self.url_of("yeyak")

    @property
    def provider_database_url(self) -> str:
        """The payment provider's ledger; the system treats it as an external database."""
        return self.url_of("yeyak_provider")

    @property
    def admin_url(self) -> str:
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.ports['sql']}/postgres"

    def url_of(self, database: str) -> str:
        return f"postgresql://{self.user}:{self.password}@127.0.0.1:{self.ports['sql']}/{database}"

    @property
    def data(self) -> Path:
        """Resolved: the home is a link where PostgreSQL's user cannot follow the root's own path."""
        return self.home.resolve() / "data"

    def _url(self) -> str:
        return self.database_url

    def _find_all(self) -> list[psutil.Process]:
        return processes.titled("postgres", self.identity)

    def _find_main(self) -> psutil.Process | None:
        """Find the server process: its children change their command lines, only it keeps `-D`."""
        return processes.first(self._find_all(), lambda process: "-D" in process.cmdline())

    def _prepare(self) -> None:
        self._make_home()
        if not self._is_initialised:
            shutil.rmtree(self.data, ignore_errors=True)
            self._initdb()
        self._drop_stale_pid_file()

    def _make_home(self) -> None:
        if os.geteuid() == 0 and not self.home.exists() and not _reaches(self._prefix(), self.root):
            outside = Path("/var/lib") / self.identity
            outside.mkdir(exist_ok=True)
            self.home.unlink(missing_ok=True)
            self.home.symlink_to(outside)
        self.home.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.home, account.pw_uid, account.pw_gid)

    def _initdb(self) -> None:
        password_file = self.data.with_name("initdb.password")
        write_atomically(password_file, self.password)
        if os.geteuid() == 0:
            shutil.chown(password_file, "postgres", "postgres")
        try:
            self._as_postgres(
                self._binary("initdb"),
                f"--pgdata={self.data}",
                "--username=postgres",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-instructions",
            )
        finally:
            password_file.unlink()

    def _drop_stale_pid_file(self) -> None:
        """Delete a `postmaster.pid` whose pid belongs to another process: PostgreSQL would refuse to start."""
        pid_file = self.data / "postmaster.pid"
        with contextlib.suppress(OSError, ValueError, IndexError, psutil.Error):
            owner = psutil.Process(int(pid_file.read_text().split()[0]))
            if owner.name() == "postgres" and str(self.data) in " ".join(owner.cmdline()):
                raise ServerFailed(f"PostgreSQL already runs on {self.data} (pid {owner.pid}): stop it first")
        pid_file.unlink(missing_ok=True)

    def _spawn(self, ports: dict[str, int]) -> subprocess.Popen[bytes]:
        command = [self._binary("postgres"), "-D", str(self.data)]
        for name, value in self._settings(ports).items():
            command += ["-c", f"{name}={value}"]
        death_signal = ["setpriv", "--pdeathsig", "INT"] if self._die_with_parent else []
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*self._prefix(), *death_signal, *command],
                env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
                cwd=self.data.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _settings(self, ports: dict[str, int]) -> dict[str, object]:
        return {
            "cluster_name": self.identity,
            "listen_addresses": "127.0.0.1",
            "port": ports["sql"],
            "unix_socket_directories": "",  # the path of a socket is limited to 107 bytes; a checkout's may be longer
            "max_connections": 300,
            "shared_buffers": "256MB",
            "wal_compression": "lz4",
            "max_wal_size": "2GB",
            "checkpoint_timeout": "15min",
            "jit": "off",  # costs more than it saves on short statements
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_line_prefix": "%m [%p] %a %d: ",
            "log_checkpoints": "off",
        }

    def _answers(self) -> bool:
        if not self.ports or not self._accepts_connections():
            return False
        return self._psql("postgres", "SELECT 1") is not None

    def _accepts_connections(self) -> bool:
        """`postmaster.pid` ends in `ready` when the server accepts connections."""
        try:
            return (self.data / "postmaster.pid").read_text().rstrip().endswith("ready")
        except OSError:
            return False

    def _finish_setup(self) -> None:
        if self._is_initialised:
            return
        self._psql("postgres", f"CREATE ROLE {self.user} LOGIN CREATEDB CREATEROLE PASSWORD '{self.password}'")
        self._psql("postgres", f"GRANT pg_monitor TO {self.user}")
        for database in self.databases:
            if self._psql("postgres", f"CREATE DATABASE {database} OWNER {self.user}") is None:
                raise ServerFailed(f"the database {database} cannot be created: read {self.log}")
        super()._finish_setup()

    def dump(self, database: str, file: BinaryIO) -> None:
        """Write a database, at one instant of it, as an archive of `pg_dump`; raises ServerFailed."""
        self._run("pg_dump", "--format=custom", "--no-owner", "--no-acl", database, stdout=file)

    def restore(self, database: str, file: BinaryIO) -> None:
        """Fill an empty database from an archive; its objects belong to our role. Raises ServerFailed."""
        options = ("--no-owner", "--no-acl", "--exit-on-error", f"--role={self.user}")
        self._run("pg_restore", *options, f"--dbname={database}", stdin=file)

    def _run(
        self, program: str, *arguments: str, stdin: BinaryIO | int = subprocess.DEVNULL, stdout: BinaryIO | None = None
    ) -> None:
        """Run a program of PostgreSQL as superuser."""
        done = subprocess.run(
            [self._binary(program), *arguments],
            env=self._superuser(),
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            raise ServerFailed(f"{program} failed: {done.stderr.decode(errors='replace').strip()[-400:]}")

    def _superuser(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.ports["sql"]),
            "PGUSER": "postgres",
            "PGPASSWORD": self.password,
            "PGCONNECT_TIMEOUT": "5",
        }

    def _psql(self, database: str, statement: str) -> str | None:
        """Run one statement as superuser; returns the output, None when it failed."""
        result = subprocess.run(
            [self._binary("psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", statement],
            env=self._superuser() | {"PGDATABASE": database},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return result.stdout if result.returncode == 0 else None

    def _as_postgres(self, *command: str) -> None:
        result = subprocess.run(
            [*self._prefix(), *command],
            cwd=self.data.parent,
            env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise ServerFailed(f"{Path(command[0]).name} failed: {result.stderr.strip()[-400:]}")

    def _binary(self, name: str) -> str:
        """The program of the version that made the data: other versions refuse it."""
        made_by = self.data / "PG_VERSION"
        return _postgres_binary(name, made_by.read_text().strip() if made_by.exists() else None)

    def _prefix(self) -> list[str]:
        """The command that switches from root to PostgreSQL's user, which PostgreSQL requires.

        A checkout that this user cannot enter needs the capability `dac_override`, where it can be passed on.
        """
        if os.geteuid() != 0:
            return []
        plain = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"]
        with_capability = [*plain, "--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]
        return with_capability if not _reaches(plain, self.root) and _reaches(with_capability, self.root) else plain


def _reaches(prefix: list[str], folder: Path) -> bool:
    """Whether the account that `prefix` switches to can enter that folder."""
    command = [*prefix, "stat", f"{folder}/."]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def _postgres_binary(name: str, version: str | None) -> str:
    """The program of that version if it is installed, otherwise of the newest installed one."""
    found_servers = Path("/usr/lib/postgresql").glob("[0-9]*/bin/postgres")
    folders = {path.parts[4]: path.parent for path in found_servers}
    if folders:
        return str(folders.get(version or "", folders[max(folders, key=float)]) / name)
    found = shutil.which(name)
    if not found:
        raise ServerFailed("PostgreSQL is not installed: run ops/bootstrap.sh as root, or install postgresql")
    return found
