"""The accounts' folder: for each account a folder with the addresses that it uses, passwords in them.

Files are named like settings, so that a process reads its own by `YEYAK_SECRETS_DIR`. A password is made once; to
change it, delete the account's files, write them again, apply, and restart who uses them.
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
    """Where the servers are: URLs with `{user}` and `{password}` in them."""

    amqp: str
    database: str
    provider_database: str
    api: str = ""
    """The management API; the operator reads it, and the gateway for its operators' page."""

    def of(self, account: str) -> dict[str, tuple[str, str]]:
        """What an account needs: file name -> (template, user)."""
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


def _stays(name: str, url: str) -> bool:
    return True


def _is_elsewhere(name: str, url: str, former: Mapping[str, str]) -> bool:
    return (
        name in former and urlsplit(url).netloc.rpartition("@")[2] != urlsplit(former[name]).netloc.rpartition("@")[2]
    )


class Folder:
    """An accounts' folder, readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def named(cls) -> Folder | None:
        """The one that an administrator's environment names, if it does."""
        place = os.environ.get("YEYAK_ACCOUNTS_DIR")
        return cls(Path(place)) if place else None

    def of(self, account: str) -> Path:
        return self.path / account

    def read(self, account: str) -> dict[str, str]:
        """An account's files by their names; empty when it has none."""
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
        """Write what is missing; with `move` every address anew, passwords stay. Returns how many files were written.

        With the `former` addresses of the servers that moved, by the names of their files, an address that points
        elsewhere is left alone: somebody gave that context a server of its own.

        `system/` is for one process that runs several contexts: each context's own addresses in one file.
        """
        names = list(contexts)
        stays = partial(_is_elsewhere, former=former or {}) if move else _stays
        written = sum(self._write(account, addresses, stays) for account in (*names, GATEWAY, OPERATOR))
        for setting, name in (("yeyak_context_amqp_urls", AMQP), ("yeyak_context_database_urls", DATABASE)):
            urls = {context: self.read(context)[name] for context in names}
            written += self._put(self.of(SYSTEM) / setting, json.dumps(urls, indent=1))
        written += self._put(self.of(SYSTEM) / PROVIDER_DATABASE, self.read(PAYMENTS)[PROVIDER_DATABASE])
        return written

    def write_administrator(self, addresses: Mapping[str, str]) -> None:
        """Keep the addresses by which accounts are made, by the names of their files."""
        for name, url in addresses.items():
            self._put(self.of(ADMINISTRATOR) / name, url)

    def _write(self, account: str, addresses: Addresses, stays: Callable[[str, str], bool]) -> int:
        there, written, fresh = self.read(account), 0, secrets.token_urlsafe(24)
        for name, (template, user) in addresses.of(account).items():
            if name in there and stays(name, there[name]):
                continue
            kept = there.get(name) or (there.get(AMQP) if name == API else None)  # one user of one server
            password = Credentials.of(kept).password if kept else ""
            url = template.format(user=quote(user, safe=""), password=quote(password or fresh, safe=""))
            written += self._put(self.of(account) / name, url)
        return written

    def _put(self, file: Path, text: str) -> bool:
        if file.exists() and file.read_text() == text:
            return False
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(file, text)
        return True
