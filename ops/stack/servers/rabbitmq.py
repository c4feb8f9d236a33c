"""A private RabbitMQ, or a node of a cluster of them."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from ops.stack import processes
from ops.stack.files import write_atomically
from ops.stack.servers.server import Server, ServerFailed

MARK = "SYSTEM_SERVER_OF"  # not a YEYAK_ name: those are settings, and unknown ones are refused


class RabbitServer(Server):
    """RabbitMQ with the management console and Prometheus metrics; its own epmd, cookie and node name.

    One that `joins` another becomes a node of its cluster at its first start; it has a root of its own.
    """

    name = "rabbitmq"
    user = "yeyak"
    _stop_signal = signal.SIGTERM
    _main_names = ("rabbitmq-server", "erl", "erlexec", "beam.smp")  # one process that becomes the next

    def __init__(
        self,
        root: Path,
        *,
        joins: RabbitServer | None = None,
        preferred_ports: Mapping[str, int] | None = None,
        die_with_parent: bool = False,
    ) -> None:
        super().__init__(root, preferred_ports=preferred_ports, die_with_parent=die_with_parent)
        self._joins = joins
        self.port_names = ("amqp", "console", "metrics", "dist", *(() if joins else ("epmd",)))

    @property
    def password(self) -> str:
        """The user's password, which is also the Erlang cookie; nodes of a cluster share it."""
        return self._joins.password if self._joins else super().password

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

    def _find_all(self) -> list[psutil.Process]:
        return processes.marked(MARK, self.identity)

    def _find_main(self) -> psutil.Process | None:
        ours = {process.pid: process for process in self._find_all()}
        return processes.first(
            ours.values(), lambda process: process.ppid() not in ours and process.name() in self._main_names
        )

    def _prepare(self) -> None:
        if not self._is_initialised:
            shutil.rmtree(self.home / "mnesia", ignore_errors=True)
        for folder in (self.home, self.home / "home"):
            folder.mkdir(mode=0o700, exist_ok=True, parents=True)
        (self.home / "home" / ".erlang.cookie").unlink(missing_ok=True)
        write_atomically(self.home / "home" / ".erlang.cookie", self.password, mode=0o400)
        write_atomically(self.home / "enabled_plugins", "[rabbitmq_management,rabbitmq_prometheus].\n")
        write_atomically(self.home / "env.conf", "")

    def _spawn(self, ports: dict[str, int]) -> subprocess.Popen[bytes]:
        write_atomically(self.home / "rabbitmq.conf", self._configuration(ports))
        environment = self._environment(ports | {"epmd": (self._joins or self).ports["epmd"]})
        if self._joins is None:
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
        set_death_signal = processes.dying_with_parent(os.getpid()) if self._die_with_parent else None

        def before_exec() -> None:
            processes.raise_file_limit()
            if set_death_signal:
                set_death_signal()

        return before_exec

    def _configuration(self, ports: dict[str, int]) -> str:
        settings: dict[str, object] = {
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
        if self._joins:
            nodes = enumerate((self._joins.nodename, self.nodename), 1)
            settings["cluster_formation.peer_discovery_backend"] = "classic_config"
            settings |= {f"cluster_formation.classic_config.nodes.{number}": node for number, node in nodes}
        return "".join(f"{name} = {value}\n" for name, value in settings.items())

    def _environment(self, ports: dict[str, int]) -> dict[str, str]:
        """The server's environment; nothing of an installed broker's configuration reaches it."""
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
            # the default waits 5 s at shutdown without need; confirmed messages are on disk before
            " -kernel shutdown_timeout 2000",
        }

    def _answers(self) -> bool:
        """Whether the management API answers, which starts after the AMQP listener."""
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


def _rabbitmq_script() -> str:
    """The start script, not the distribution's wrapper in /usr/sbin, which changes user and folders."""
    script = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    found = str(script) if script.exists() else shutil.which("rabbitmq-server")
    if not found:
        raise ServerFailed("RabbitMQ is not installed: run ops/bootstrap.sh as root, or install rabbitmq-server")
    return found
