"""Who may keep a connection: at most so many in all and from one address.

At the limit a connection that waits for its client gives way to the new one, the longest waiting first, and from the
address that holds most. So a client that opens connections and sends nothing takes places from nobody but itself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Protocol

from gateway_api import metrics


class ClientConnection(Protocol):
    """A connection of a client."""

    def evict(self) -> None:
        """End it at once."""


@dataclass(slots=True)
class _Address:
    count: int = 0
    waiting: OrderedDict[ClientConnection, None] = field(default_factory=OrderedDict)
    """The connections whose client has to send something, by the time since which they wait."""


class Connections:
    """The open connections by address; IPv6 addresses of one /64 network count as one.

    A limit of 0 is none. `trusted` are networks of proxies, whose connections carry many clients and only count in
    all. Raises ValueError for what is no network.
    """

    def __init__(self, limit: int, per_address: int, trusted: Iterable[str] = ()) -> None:
        self._limit = limit
        self._per_address = per_address
        self._trusted = [ip_network(network) for network in trusted]
        self._addresses: dict[str, _Address] = {}
        self._places: dict[ClientConnection, str] = {}

    def __len__(self) -> int:
        return len(self._places)

    def admit(self, connection: ClientConnection, host: str) -> bool:
        """Give a new connection a place; False when all are taken by connections that are being served."""
        name, trusted = self._name(host)
        address = self._addresses.get(name)
        if address and self._per_address and not trusted and address.count >= self._per_address:
            if not self._make_room(address, "connections_per_address"):
                return False
        elif self._limit and len(self._places) >= self._limit:
            waiting = (one for one in self._addresses.values() if one.waiting)
            if not self._make_room(max(waiting, key=lambda one: one.count, default=None), "connections"):
                return False
        address = self._addresses.setdefault(name, _Address())
        address.count += 1
        address.waiting[connection] = None
        self._places[connection] = name
        return True

    def waits(self, connection: ClientConnection) -> None:
        """Note that the client has to send something, from now on."""
        if name := self._places.get(connection):
            self._addresses[name].waiting.setdefault(connection)

    def is_served(self, connection: ClientConnection) -> None:
        """Note that the server has to answer; until it has, the connection keeps its place."""
        if name := self._places.get(connection):
            self._addresses[name].waiting.pop(connection, None)

    def release(self, connection: ClientConnection) -> None:
        """Free the place of a connection that was closed; nothing when it has none."""
        name = self._places.pop(connection, None)
        if name is None:
            return
        address = self._addresses[name]
        address.waiting.pop(connection, None)
        address.count -= 1
        if not address.count:
            del self._addresses[name]

    def _make_room(self, address: _Address | None, limit: str) -> bool:
        metrics.LIMITED.labels(limit).inc()
        if address is None or not address.waiting:
            return False
        longest = next(iter(address.waiting))
        self.release(longest)
        longest.evict()
        return True

    def _name(self, host: str) -> tuple[str, bool]:
        """Return the name under which an address is counted, and whether it is that of a trusted proxy."""
        try:
            address = ip_address(host)
        except ValueError:
            return host, False
        trusted = any(address in network for network in self._trusted)
        return network_of(host), trusted


def network_of(host: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((int(address) >> 64 << 64, 64)))
    return host
