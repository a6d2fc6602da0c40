"""Which addresses and which folders of this machine may be reached for somebody. A service asks for strangers, from
inside a network whose servers trust it: what those strangers name is judged where it leads, not by its name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_METADATA = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",  # AWS, Azure, Google and most others
            "169.254.170.2",  # AWS, of containers
            "169.254.170.23",
            "168.63.129.16",  # Azure: a public address by its number
            "100.100.100.200",  # Alibaba
            "192.0.0.192",  # Oracle
            "fd00:ec2::254",  # AWS
            "fd00:ec2::23",
            "fd20:ce::254",  # Google
        ),
    )
)
"""Where clouds hand a machine its own keys, to whoever asks from it."""
_UNICAST = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Reach:
    """Attributes:
    networks: private networks that may be reached, as ``10.1.0.0/16``; public addresses always may.
    local: folders of this machine, absolute, whose files may be read.
    anywhere: no bounds; for what a person's own command asks.
    """

    networks: tuple[str, ...] = ()
    local: tuple[str, ...] = ()
    anywhere: bool = False

    def address(self, text: str) -> bool:
        """Whether a connection may be made to a numeric address, as ``getaddrinfo`` gives it. Addresses from which a
        cloud hands out keys never may, whatever the networks."""
        if self.anywhere:
            return True
        try:
            found = ip_address(text)
        except ValueError:
            return False
        meant = _within(found)
        if _METADATA & {_bare(found), _bare(meant)}:
            return False
        return _is_public(meant) or any(one in network for one in (found, meant) for network in _parsed(self.networks))

    def path(self, path: str | os.PathLike[str]) -> bool:
        """Whether a file or folder of this machine may be read: where it is in truth, links followed."""
        if self.anywhere:
            return True
        if "\0" in os.fspath(path) or not os.path.isabs(path):
            return False
        real = os.path.realpath(path)
        return any(is_below(real, os.path.realpath(folder)) for folder in self.local)


ANYWHERE = Reach(anywhere=True)
"""What a person's own command may reach: what the person may."""
PUBLIC_ONLY = Reach()
"""What a service may reach where nobody said more."""


def is_below(path: str, folder: str) -> bool:
    """At or below, on the boundary of a component; both absolute and normal."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


@lru_cache(maxsize=256)
def _parsed(networks: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(map(ip_network, networks))


def _within(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address stands for, where it does: v4-mapped, 6to4, NAT64."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _bare(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Without its zone."""
    return type(address)(int(address))


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    # A multicast address counts as global in Python; of IPv6 the deprecated forms that hold an IPv4 address do too.
    return address.is_global and not address.is_multicast and (address.version == 4 or address in _UNICAST)
