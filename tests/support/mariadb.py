"""A private MariaDB for views that live there: own data, free port, ended with whoever starts it."""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import asyncmy

from ops.stack.processes import dying_with_parent
from tests.support.processes import free_port

START_SECONDS = 60.0


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    assert found, f"{name} is not installed: `ops/bootstrap.sh polyglot` installs it"
    return found


class MariaServer:
    """`mariadbd` on 127.0.0.1, without a password."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        self._log = home / "mariadb.log"
        user, data = f"--user={getpass.getuser()}", f"--datadir={home / 'data'}"
        with self._log.open("ab") as log:
            subprocess.run(
                [
                    _program("mariadb-install-db"),
                    "--no-defaults",
                    data,
                    user,
                    "--skip-test-db",
                    "--auth-root-authentication-method=normal",
                ],
                stdout=log,
                stderr=log,
                check=True,
                timeout=START_SECONDS,
            )
            self._process = subprocess.Popen(
                [
                    _program("mariadbd"),
                    "--no-defaults",
                    data,
                    user,
                    f"--port={self.port}",
                    "--bind-address=127.0.0.1",
                    f"--socket={home / 'socket'}",
                    f"--pid-file={home / 'pid'}",
                    "--skip-name-resolve",
                    "--innodb-flush-log-at-trx-commit=2",
                    "--max-connections=400",
                ],
                stdout=log,
                stderr=log,
                preexec_fn=dying_with_parent(os.getpid()),
            )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert self._process.poll() is None, self._log.read_text()[-2000:]
                assert time.monotonic() < deadline, "MariaDB did not start"
                time.sleep(0.05)
            else:
                return

    def url_of(self, database: str) -> str:
        return f"mysql://root@127.0.0.1:{self.port}/{database}"

    async def run(self, *statements: str) -> None:
        """Run statements outside any database."""
        connection = await asyncmy.connect(host="127.0.0.1", port=self.port, user="root")
        async with connection.cursor() as cursor:
            for statement in statements:
                await cursor.execute(statement)
        await connection.commit()
        await connection.ensure_closed()

    async def tables_of(self, database: str) -> list[str]:
        connection = await asyncmy.connect(host="127.0.0.1", port=self.port, user="root")
        async with connection.cursor() as cursor:
            await cursor.execute(f"show tables in `{database}`")
            found = [name for (name,) in await cursor.fetchall()]
        await connection.ensure_closed()
        return found

    async def copy(self, template: str, name: str) -> str:
        """A new database like another one; returns its URL."""
        tables = await self.tables_of(template)
        collation = "character set utf8mb4 collate utf8mb4_nopad_bin"
        copies = [f"create table `{name}`.`{table}` like `{template}`.`{table}`" for table in tables]
        copies += [f"insert into `{name}`.`{table}` select * from `{template}`.`{table}`" for table in tables]
        await self.run(f"create database `{name}` {collation}", *copies)
        return self.url_of(name)

    async def stop(self) -> None:
        self._process.terminate()
        await asyncio.to_thread(self._process.wait, 30)
