"""The accounts folder: one folder for each account, with the addresses that it uses and the passwords in them.

Files are named like settings, so that a process reads its own with `YEYAK_SECRETS_DIR`. A password is created once;
`rotate` writes another one, to be applied to the servers before the processes that use it are restarted.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from ops.stack.files import write_atomically

AMQP, DATABASE, PROVIDER_DATABASE, API = (
    "yeyak_amqp_url",
    "yeyak_database_url",
    "yeyak_provider_database_url",
    "yeyak_rabbitmq_api",
)
GATEWAY, OPERATOR, ADMINISTRATOR, PROVIDER, SYSTEM = "gateway", "operator", "administrator", "provider", "system"
PAYMENTS = "payments"


@dataclass(frozen=True)
class Addresses:
    """The URLs of the servers, with `{user}` and `{password}` as placeholders."""

    amqp: str
    database: str
    provider_database: str
    api: str = ""
    """The management API, for the operator and the console's operations page."""

    def of(self, account: str) -> dict[str, tuple[str, str]]:
        """The files of an account: file name -> (URL template, user)."""
        found = {AMQP: (self.amqp, account)}
        if account != GATEWAY:
            found[DATABASE] = (self.database, account)
        if account in (PAYMENTS, OPERATOR):
            found[PROVIDER_DATABASE] = (self.provider_database, PROVIDER if account == PAYMENTS else account)
        if account in (GATEWAY, OPERATOR) and self.api:
            found[API] = (self.api, account)
        return found


@dataclass(frozen=True)
class Credentials:
    user: str
    password: str

    @classmethod
    def of(cls, url: str) -> Credentials:
        parts = urlsplit(url)
        return cls(unquote(parts.username or ""), unquote(parts.password or ""))


def _is_kept(name: str, url: str) -> bool:
    return True


def _is_elsewhere(name: str, url: str, former: Mapping[str, str]) -> bool:
    return (
        name in former and urlsplit(url).netloc.rpartition("@")[2] != urlsplit(former[name]).netloc.rpartition("@")[2]
    )


class Folder:
    """An accounts folder, readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def named(cls) -> Folder | None:
        """The folder that YEYAK_ACCOUNTS_DIR names, if it is set."""
        path = os.environ.get("YEYAK_ACCOUNTS_DIR")
        return cls(Path(path)) if path else None

    def of(self, account: str) -> Path:
        return self.path / account

    def read(self, account: str) -> dict[str, str]:
        """Read the files of an account, by their names; empty when it has none."""
        return {file.name: file.read_text().strip() for file in sorted(self.of(account).glob("yeyak_*"))}

    def settings_of(self, account: str) -> dict[str, Any]:
        """An account's files as arguments of `Settings`."""
        found = {name.removeprefix("yeyak_"): text for name, text in self.read(account).items()}
        return {name: json.loads(text) if name.startswith("context_") else text for name, text in found.items()}

    def broker_user(self, account: str) -> Credentials | None:
        return self._credentials(account, AMQP)

    def database_role(self, account: str) -> Credentials | None:
        """`provider` is the payment provider's role in its own database."""
        if account == PROVIDER:
            return self._credentials(PAYMENTS, PROVIDER_DATABASE)
        return self._credentials(account, DATABASE)

    def _credentials(self, account: str, name: str) -> Credentials | None:
        url = self.read(account).get(name)
        return Credentials.of(url) if url else None

    def write(
        self,
        contexts: Iterable[str],
        addresses: Addresses,
        *,
        move: bool = False,
        former: Mapping[str, str] | None = None,
    ) -> int:
        """Write missing files; with `move` rewrite every address and keep the passwords. Returns how many were written.

        `former` holds the former addresses of moved servers, by file name. An address that points elsewhere is kept:
        that context has a server of its own.

        `system/` is for one process that runs several contexts: one file has the addresses of all of them.
        """
        names = list(contexts)
        is_kept = partial(_is_elsewhere, former=former or {}) if move else _is_kept
        written = sum(self._write(account, addresses, is_kept) for account in (*names, GATEWAY, OPERATOR))
        return written + self._write_system(names)

    def rotate(self, account: str, contexts: Iterable[str]) -> int:
        """Give an account a new password in each of its addresses; returns how many files were written.

        Raises KeyError for an account that has none. Broker user and database role get the same password.
        """
        files = self.read(account)
        if not files or account in (ADMINISTRATOR, SYSTEM):
            raise KeyError(account)
        password = secrets.token_urlsafe(24)
        written = 0
        for name, url in files.items():
            parts = urlsplit(url)
            login, _, host = parts.netloc.rpartition("@")
            user = login.partition(":")[0]
            changed = parts._replace(netloc=f"{user}:{password}@{host}").geturl()
            written += self._write_file(self.of(account) / name, changed)
        return written + self._write_system(list(contexts))

    def write_administrator(self, addresses: Mapping[str, str]) -> None:
        """Write the administrator's addresses, by file name."""
        for name, url in addresses.items():
            self._write_file(self.of(ADMINISTRATOR) / name, url)

    def _write_system(self, contexts: list[str]) -> int:
        written = 0
        for setting, name in (("yeyak_context_amqp_urls", AMQP), ("yeyak_context_database_urls", DATABASE)):
            urls = {context: self.read(context)[name] for context in contexts}
            written += self._write_file(self.of(SYSTEM) / setting, json.dumps(urls, indent=1))
        return written + self._write_file(self.of(SYSTEM) / PROVIDER_DATABASE, self.read(PAYMENTS)[PROVIDER_DATABASE])

    def _write(self, account: str, addresses: Addresses, is_kept: Callable[[str, str], bool]) -> int:
        existing, written, new_password = self.read(account), 0, secrets.token_urlsafe(24)
        for name, (template, user) in addresses.of(account).items():
            if name in existing and is_kept(name, existing[name]):
                continue
            kept = existing.get(name) or (
                existing.get(AMQP) if name == API else None
            )  # both belong to the same broker user
            password = Credentials.of(kept).password if kept else ""
            url = template.format(user=quote(user, safe=""), password=quote(password or new_password, safe=""))
            written += self._write_file(self.of(account) / name, url)
        return written

    def _write_file(self, file: Path, text: str) -> bool:
        if file.exists() and file.read_text() == text:
            return False
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(file, text)
        return True
