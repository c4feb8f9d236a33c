"""Accounts as the broker knows them: users, permissions on queues and exchanges, permissions on topics.

Regular expressions are anchored here: the broker would find them anywhere in a name.
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

Known = Callable[[str], Credentials | None]
"""The user and password of an account."""


def definitions(accounts: Iterable[Account], vhost: str, known: Known = lambda _: None) -> dict[str, list[Any]]:
    """Users and their permissions in the form of RabbitMQ's `definitions.json`; who has no password cannot sign in."""
    found: dict[str, list[Any]] = {"users": [], "permissions": [], "topic_permissions": []}
    for account in accounts:
        credentials = known(account.name) or Credentials(account.name, "")
        whose = {"user": credentials.user, "vhost": vhost}
        found["users"].append(_user(account, credentials))
        found["permissions"].append({**whose, **permissions(account)})
        found["topic_permissions"] += [{**whose, **topics} for topics in topic_permissions(account)]
    return found


def permissions(account: Account) -> dict[str, str]:
    """What it may configure, write and read: to bind a queue is to write it and to read its exchange."""
    made = [*account.reply_queues, *account.makes]
    replies = re.escape(REPLIES)
    said, heard = map(re.escape, sorted(account.sends)), map(re.escape, sorted(account.receives))
    return {
        "configure": _any_of(made),
        "write": _any_of([*said, *([replies] if account.answers else []), *made, *account.keeps]),
        "read": _any_of([*heard, replies, *made, *account.keeps, *account.reads]),
    }


def topic_permissions(account: Account) -> Iterator[dict[str, str]]:
    """By exchange: the routing keys that it may say, and those that it may bind."""
    for exchange in sorted({*account.sends, *account.receives}):
        yield {
            "exchange": exchange,
            "write": _any_of(sorted(account.sends.get(exchange, ()))),
            "read": _any_of(sorted(account.receives.get(exchange, ()))),
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


async def apply(api: ManagementClient, accounts: Iterable[Account], known: Known) -> int:
    """Make the users what the plan says; returns how many. Raises `ManagementUnavailable`.

    What an account once might say on an exchange that it lost is inert: the permission on the exchange is gone.
    """
    wanted = definitions([account for account in accounts if known(account.name)], api.vhost, known)
    await api.import_definitions(wanted)
    return len(wanted["users"])
