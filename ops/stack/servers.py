"""A private RabbitMQ and PostgreSQL under one root folder.

    rabbit, postgres = RabbitServer(root), PostgresServer(root)
    start_all(rabbit, postgres)
    ...
    stop_all(rabbit, postgres)

Everything is synchronous. A server found running under the same root is used as it is, whoever started it there;
a server of any other root is never seen. Each root keeps its ports, passwords and data over restarts.
"""

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from ops.stack import processes
from ops.stack.files import kept_secret, last_line, rotate, write_atomically
from ops.stack.ports import kept_ports, read_ports

MARK = "TOWN_SERVER_OF"  # not a YEYAK_ name: those are settings, and unknown ones are refused


class ServerFailed(Exception):
    """One sentence for a person: what did not work, and which log to read."""


class Server(ABC):
    """One server process tree under `root`; `die_with_parent` ties it to the thread that starts it (for tests)."""

    name: str
    port_names: tuple[str, ...]

    def __init__(
        self, root: Path, *, preferred_ports: Mapping[str, int] | None = None, die_with_parent: bool = False
    ) -> None:
        self.root = root.absolute()
        self.home = self.root / self.name
        self.log = self.root / "logs" / f"{self.name}.log"
        self._preferred = dict(preferred_ports or {})
        self._die_with_parent = die_with_parent
        self._child: subprocess.Popen[bytes] | None = None
        self._known: psutil.Process | None = None

    @property
    def identity(self) -> str:
        """Unique per root on this machine; it names the node or cluster and marks its processes."""
        return "yeyak-" + hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[:12]

    @property
    def ports(self) -> dict[str, int]:
        return read_ports(self.home / "ports.json")

    @property
    def password(self) -> str:
        return kept_secret(self.home / "password")

    @property
    def url(self) -> str | None:
        """Where clients connect; None before the first start."""
        return self._url() if self.ports else None

    @property
    def pid(self) -> int | None:
        """The main process; None while the server is down."""
        if self._child:
            self._child.poll()
        if not processes.is_alive(self._known):
            self._known = self._find_main()
        return self._known.pid if self._known else None

    def is_running(self) -> bool:
        return self.pid is not None

    def start(self, timeout: float = 60.0) -> None:
        """Return when the server answers; does nothing if it does already. Raises ServerFailed."""
        self.launch()
        self.wait_ready(timeout)

    def launch(self) -> None:
        """Start the process without waiting for it."""
        with self._alone():
            if self.is_running():
                return
            self._end(signal.SIGKILL, self._all())
            self._prepare()
            rotate(self.log)
            self.log.parent.mkdir(parents=True, exist_ok=True)
            ports = kept_ports(self.home / "ports.json", list(self.port_names), self._preferred)
            self._child = self._spawn(ports)
            self._known = self._recognisable(self._child)

    def _recognisable(self, child: subprocess.Popen[bytes]) -> psutil.Process | None:
        """Hold the lock until others, too, would recognise the new process as this server."""
        deadline = time.monotonic() + 5.0
        while child.poll() is None and time.monotonic() < deadline:
            if found := self._find_main():
                return found
            time.sleep(0.01)
        return None

    def wait_ready(self, timeout: float = 60.0) -> None:
        deadline = time.monotonic() + timeout
        retried = False
        while not self._answers():
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.name} does not answer after {timeout:.0f} s: read {self.log}")
            if not self.is_running():
                if retried:
                    raise ServerFailed(f"{self.name} does not start ({last_line(self.log)}): read {self.log}")
                retried = True
                self.launch()
            time.sleep(0.05)
        self._complete()

    def stop(self, timeout: float = 30.0) -> None:
        """Orderly, and by force after `timeout` seconds; nothing happens when it is down."""
        with self._alone():
            if self.pid:
                self._end(self._stop_signal, [psutil.Process(self.pid)], timeout)
            self._end(signal.SIGKILL, self._all())
            self._reap()

    def kill(self) -> None:
        """SIGKILL for every process of this server, as a power cut would."""
        self._end(signal.SIGKILL, self._all())
        self._reap()

    def destroy(self) -> None:
        """Stop it and delete its data, ports and password; the log stays."""
        self.kill()
        home = self.home.resolve()
        self.home.unlink() if self.home.is_symlink() else None
        shutil.rmtree(home, ignore_errors=True)

    @property
    def _is_made(self) -> bool:
        """False while the data folder has never once held a server that answered."""
        return (self.home / "made").exists()

    def _complete(self) -> None:
        if not self._is_made:
            write_atomically(self.home / "made", "")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / f".{self.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _end(self, signum: int, targets: list[psutil.Process], timeout: float = 10.0) -> None:
        processes.send(targets, signum)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and processes.wait_gone(targets, 0.05):
            self._reap()

    def _reap(self) -> None:
        if self._child:
            self._child.poll()

    _stop_signal: int

    @abstractmethod
    def _url(self) -> str: ...

    @abstractmethod
    def _find_main(self) -> psutil.Process | None: ...

    @abstractmethod
    def _all(self) -> list[psutil.Process]: ...

    @abstractmethod
    def _prepare(self) -> None: ...

    @abstractmethod
    def _spawn(self, ports: dict[str, int]) -> subprocess.Popen[bytes]: ...

    @abstractmethod
    def _answers(self) -> bool: ...


class RabbitServer(Server):
    """RabbitMQ with the management console and Prometheus metrics; its own epmd, cookie and node name."""

    name = "rabbitmq"
    port_names = ("amqp", "console", "metrics", "dist", "epmd")
    user = "yeyak"
    _stop_signal = signal.SIGTERM
    _main_names = ("rabbitmq-server", "erl", "erlexec", "beam.smp")  # one process that becomes the next

    @property
    def amqp_url(self) -> str:
        return f"amqp://{self.user}:{self.password}@127.0.0.1:{self.ports['amqp']}/"

    @property
    def api_url(self) -> str:
        """The management console with user and password; its HTTP API is under `/api`."""
        return f"http://{self.user}:{self.password}@127.0.0.1:{self.ports['console']}"

    @property
    def nodename(self) -> str:
        return f"{self.identity}@localhost"

    def _url(self) -> str:
        return self.amqp_url

    def _all(self) -> list[psutil.Process]:
        return processes.marked(MARK, self.identity)

    def _find_main(self) -> psutil.Process | None:
        ours = {process.pid: process for process in self._all()}
        tops = (process for process in ours.values() if process.ppid() not in ours)
        return next((process for process in tops if process.name() in self._main_names), None)

    def _prepare(self) -> None:
        if not self._is_made:
            shutil.rmtree(self.home / "mnesia", ignore_errors=True)
        for folder in (self.home, self.home / "home"):
            folder.mkdir(mode=0o700, exist_ok=True, parents=True)
        (self.home / "home" / ".erlang.cookie").unlink(missing_ok=True)
        write_atomically(self.home / "home" / ".erlang.cookie", self.password, mode=0o400)
        write_atomically(self.home / "enabled_plugins", "[rabbitmq_management,rabbitmq_prometheus].\n")
        write_atomically(self.home / "env.conf", "")

    def _spawn(self, ports: dict[str, int]) -> subprocess.Popen[bytes]:
        write_atomically(self.home / "rabbitmq.conf", self._configuration(ports))
        environment = self._environment(ports)
        self._run(["epmd", "-port", str(ports["epmd"]), "-address", "127.0.0.1"], environment)
        return self._run([_rabbitmq_script()], environment)

    def _run(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command,
                env=environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=self._before_exec(),
            )

    def _before_exec(self) -> Callable[[], None]:
        tie = processes.dying_with_parent(os.getpid()) if self._die_with_parent else None

        def before_exec() -> None:
            processes.raise_file_limit()
            if tie:
                tie()

        return before_exec

    def _configuration(self, ports: dict[str, int]) -> str:
        settings = {
            "listeners.tcp.local": f"127.0.0.1:{ports['amqp']}",
            "management.tcp.ip": "127.0.0.1",
            "management.tcp.port": ports["console"],
            "prometheus.tcp.ip": "127.0.0.1",
            "prometheus.tcp.port": ports["metrics"],
            "default_user": self.user,
            "default_pass": self.password,
            "default_user_tags.administrator": "true",
            "log.file": self.log,
            "disk_free_limit.absolute": "100MB",
        }
        return "".join(f"{name} = {value}\n" for name, value in settings.items())

    def _environment(self, ports: dict[str, int]) -> dict[str, str]:
        """Nothing of an installed broker's environment or configuration reaches this one."""
        kept = {name: os.environ[name] for name in ("PATH", "TZ") if name in os.environ}
        return kept | {
            MARK: self.identity,
            "LANG": "C.UTF-8",
            "HOME": str(self.home / "home"),
            "ERL_EPMD_PORT": str(ports["epmd"]),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RUNNING_UNDER_SYSTEMD": "true",  # the start script then becomes the server instead of a parent of it
            "RABBITMQ_NODENAME": self.nodename,
            "RABBITMQ_DIST_PORT": str(ports["dist"]),
            "RABBITMQ_MNESIA_BASE": str(self.home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.home / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.home / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self.home / "env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.home / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}"
            # some part of it waits 5 s for nothing at the end; what was confirmed is on disk long before
            " -kernel shutdown_timeout 2000",
        }

    def _answers(self) -> bool:
        """The console answers last of all, after the AMQP listener."""
        if not self.ports:
            return False
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports['console']}/api/overview")
        login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        request.add_header("Authorization", f"Basic {login}")
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=2) as answer:
                return any(
                    listener["protocol"] == "amqp" and listener["port"] == self.ports["amqp"]
                    for listener in json.load(answer)["listeners"]
                )
        except (OSError, ValueError, KeyError):
            return False


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
        """The payment provider's own ledger: a stranger's database, for all the town knows."""
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

    def _all(self) -> list[psutil.Process]:
        return processes.titled("postgres", self.identity)

    def _find_main(self) -> psutil.Process | None:
        """The children rename themselves; only the server itself keeps its command line."""
        return next((process for process in self._all() if "-D" in process.cmdline()), None)

    def _prepare(self) -> None:
        self._make_home()
        if not self._is_made:
            shutil.rmtree(self.data, ignore_errors=True)
            self._initdb()
        self._drop_stale_pid_file()

    def _make_home(self) -> None:
        if os.geteuid() == 0 and not self.home.exists() and not _reaches(self._prefix(), self.root):
            elsewhere = Path("/var/lib") / self.identity
            elsewhere.mkdir(exist_ok=True)
            self.home.unlink(missing_ok=True)
            self.home.symlink_to(elsewhere)
        self.home.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.home, account.pw_uid, account.pw_gid)

    def _initdb(self) -> None:
        words = self.data.with_name("initdb.password")
        write_atomically(words, self.password)
        if os.geteuid() == 0:
            shutil.chown(words, "postgres", "postgres")
        try:
            self._as_postgres(
                self._binary("initdb"),
                f"--pgdata={self.data}",
                "--username=postgres",
                f"--pwfile={words}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-instructions",
            )
        finally:
            words.unlink()

    def _drop_stale_pid_file(self) -> None:
        """Its pid may belong to somebody else by now, and PostgreSQL would then refuse to start."""
        pid_file = self.data / "postmaster.pid"
        with contextlib.suppress(OSError, ValueError, IndexError, psutil.Error):
            owner = psutil.Process(int(pid_file.read_text().split()[0]))
            if owner.name() == "postgres" and str(self.data) in " ".join(owner.cmdline()):
                raise ServerFailed(f"somebody runs PostgreSQL (pid {owner.pid}) on {self.data}: stop that one first")
        pid_file.unlink(missing_ok=True)

    def _spawn(self, ports: dict[str, int]) -> subprocess.Popen[bytes]:
        command = [self._binary("postgres"), "-D", str(self.data)]
        for name, value in self._settings(ports).items():
            command += ["-c", f"{name}={value}"]
        tie = ["setpriv", "--pdeathsig", "INT"] if self._die_with_parent else []
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*self._prefix(), *tie, *command],
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
            "unix_socket_directories": "",  # a socket's path may hold 107 bytes; a checkout's may hold more
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

    def _complete(self) -> None:
        if self._is_made:
            return
        self._psql("postgres", f"CREATE ROLE {self.user} LOGIN CREATEDB CREATEROLE PASSWORD '{self.password}'")
        self._psql("postgres", f"GRANT pg_monitor TO {self.user}")
        for database in self.databases:
            if self._psql("postgres", f"CREATE DATABASE {database} OWNER {self.user}") is None:
                raise ServerFailed(f"the database {database} cannot be created: read {self.log}")
        super()._complete()

    def _psql(self, database: str, statement: str) -> str | None:
        """What it printed; None when it failed."""
        result = subprocess.run(
            [self._binary("psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", statement],
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "PGHOST": "127.0.0.1",
                "PGPORT": str(self.ports["sql"]),
                "PGUSER": "postgres",
                "PGPASSWORD": self.password,
                "PGDATABASE": database,
                "PGCONNECT_TIMEOUT": "5",
            },
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
        """Of the version that made the data: a newer server refuses it."""
        made_by = self.data / "PG_VERSION"
        return _postgres_binary(name, made_by.read_text().strip() if made_by.exists() else None)

    def _prefix(self) -> list[str]:
        """PostgreSQL refuses root. A checkout that its user cannot enter needs one capability, if we may lend it."""
        if os.geteuid() != 0:
            return []
        plain = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"]
        lent = [*plain, "--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]
        return lent if not _reaches(plain, self.root) and _reaches(lent, self.root) else plain


def _reaches(prefix: list[str], folder: Path) -> bool:
    """Whether the account that `prefix` switches to can enter that folder (or the part of it that exists)."""
    command = [*prefix, "stat", f"{folder}/."]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def _rabbitmq_script() -> str:
    """The distribution's wrapper in /usr/sbin changes user and folders; the script below it does not."""
    script = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    found = str(script) if script.exists() else shutil.which("rabbitmq-server")
    if not found:
        raise ServerFailed("RabbitMQ is not installed: run ops/bootstrap.sh as root, or install rabbitmq-server")
    return found


def _postgres_binary(name: str, version: str | None) -> str:
    """Of that version if it is installed, otherwise of the newest that is."""
    found_servers = Path("/usr/lib/postgresql").glob("[0-9]*/bin/postgres")
    folders = {path.parts[4]: path.parent for path in found_servers}
    if folders:
        return str(folders.get(version or "", folders[max(folders, key=float)]) / name)
    found = shutil.which(name)
    if not found:
        raise ServerFailed("PostgreSQL is not installed: run ops/bootstrap.sh as root, or install postgresql")
    return found


def start_all(*servers: Server, timeout: float = 60.0) -> None:
    """All at the same time, from one thread (which `die_with_parent` relies on)."""
    for server in servers:
        server.launch()
    for server in servers:
        server.wait_ready(timeout)


def stop_all(*servers: Server) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda server: server.stop(), servers))
