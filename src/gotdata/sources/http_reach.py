"""Connections that end at addresses which may be reached, judged on the very address that is connected to: a name that
means another address a moment later leads nowhere else."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import ConnectTimeoutError, LocationParseError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family, create_connection

from gotdata.errors import PolicyError
from gotdata.paths import shown
from gotdata.reach import Reach

Pools = dict[str, type[HTTPConnectionPool]]


def bounded(pools: Pools, reach: Reach) -> Pools:
    """The pools of connections by scheme, bounded by ``reach``."""
    return {scheme: _bounded(pool, reach) for scheme, pool in pools.items()}


def check_host(host: str, reach: Reach) -> None:
    """Whether a proxy may be asked for a host: as far as this machine knows where that is, which the proxy finds out
    for itself.

    Raises:
        PolicyError: the host, or one of its addresses, may not be reached.
    """
    try:
        found = _addresses(host, 0)
    except (OSError, UnicodeError):
        found = [host] if ":" in host else []  # an address with a zone that is none: the proxy may not mind
    if not all(reach.address(address) for address in found):
        raise _refused(host)


def _bounded(pool: type[HTTPConnectionPool], reach: Reach) -> type[HTTPConnectionPool]:
    class Connection(pool.ConnectionCls):  # type: ignore[name-defined, misc]
        def _new_conn(self) -> socket.socket:
            try:
                found = _addresses(self._dns_host, self.port)
            except socket.gaierror as error:
                raise NameResolutionError(self.host, self, error) from error
            except UnicodeError:
                raise LocationParseError(f"'{self.host}', label empty or too long") from None
            admitted = [address for address in found if reach.address(address)]
            if not admitted:
                raise _refused(self.host)
            return _connected(self, admitted)

    return type(pool.__name__, (pool,), {"ConnectionCls": Connection})


def _addresses(host: str, port: int) -> Sequence[str]:
    """Numeric, in the order in which they are to be tried."""
    found = socket.getaddrinfo(host.strip("[]"), port, allowed_gai_family(), socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def _connected(connection: Any, addresses: Sequence[str]) -> socket.socket:
    """As urllib3 connects, with its errors; a numeric address is resolved to itself."""
    error: OSError | None = None
    how = connection.timeout, connection.source_address, connection.socket_options
    for address in addresses:
        try:
            return create_connection((address, connection.port), *how)
        except OSError as failed:
            error = failed
    if isinstance(error, TimeoutError):
        raise ConnectTimeoutError(connection, f"Connection to {connection.host} timed out") from error
    raise NewConnectionError(connection, f"Failed to establish a new connection: {error}") from error


def _refused(host: str) -> PolicyError:
    """Without the address: strangers need not know how the names of this network are numbered."""
    return PolicyError(
        f"{shown(host)} lies inside this machine or its network, and may not be reached for others; `networks` allows "
        "it: in policy.yml for services, in the settings for `bake` and `entrypoint`"
    )
