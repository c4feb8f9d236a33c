"""Converts accounts to RabbitMQ users and permissions on queues, exchanges and topics.

Regular expressions are anchored here, because the broker matches them anywhere in a name.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ops.accounts.files import Credentials
from ops.accounts.plan import Account
from workers.runtime.messaging.exchanges import REPLIES
from workers.runtime.messaging.management import ManagementClient

NOTHING = "^$"
SALT_BYTES = 4

FindCredentials = Callable[[str], Credentials | None]
"""Returns the user and password of an account; None when it has none."""


def definitions(
    accounts: Iterable[Account], vhost: str, credentials_of: FindCredentials = lambda _: None
) -> dict[str, list[Any]]:
    """Users and permissions as in RabbitMQ's `definitions.json`; a user without password cannot sign in."""
    found: dict[str, list[Any]] = {"users": [], "permissions": [], "topic_permissions": []}
    for account in accounts:
        credentials = credentials_of(account.name) or Credentials(account.name, "")
        whose = {"user": credentials.user, "vhost": vhost}
        found["users"].append(_user(account, credentials))
        found["permissions"].append({**whose, **permissions(account)})
        found["topic_permissions"] += [{**whose, **topics} for topics in topic_permissions(account)]
    return found


def permissions(account: Account) -> dict[str, str]:
    """What an account may configure, write and read; to bind a queue needs write on it and read on the exchange."""
    declared = [*account.reply_queues, *account.declared_queues]
    replies = re.escape(REPLIES)
    sent, bound = map(re.escape, sorted(account.sends)), map(re.escape, sorted(account.binds))
    return {
        "configure": _any_of(declared),
        "write": _any_of([*sent, *([replies] if account.sends_replies else []), *declared, *account.own_queues]),
        "read": _any_of([*bound, replies, *declared, *account.own_queues, *account.read_queues]),
    }


def topic_permissions(account: Account) -> Iterator[dict[str, str]]:
    """Yield, for each exchange, the routing keys that an account may publish and bind."""
    for exchange in sorted({*account.sends, *account.binds}):
        yield {
            "exchange": exchange,
            "write": _any_of(sorted(account.sends.get(exchange, ()))),
            "read": _any_of(sorted(account.binds.get(exchange, ()))),
        }


def _any_of(expressions: Iterable[str]) -> str:
    return f"^({'|'.join(expressions)})$".replace("^()$", NOTHING)


def _user(account: Account, credentials: Credentials) -> dict[str, Any]:
    return {
        "name": credentials.user,
        "password_hash": _hash(credentials.password) if credentials.password else "",
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": [account.tags] if account.tags else [],
    }


def _hash(password: str) -> str:
    salt = os.urandom(SALT_BYTES)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


async def apply(api: ManagementClient, accounts: Iterable[Account], credentials_of: FindCredentials) -> int:
    """Create or update the users; returns how many. Raises `ManagementUnavailable`.

    Old topic permissions on an exchange that an account no longer uses stay without effect: the permission on the
    exchange itself is gone.
    """
    wanted = definitions([account for account in accounts if credentials_of(account.name)], api.vhost, credentials_of)
    await api.import_definitions(wanted)
    return len(wanted["users"])
