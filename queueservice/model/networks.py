"""Which addresses of the Internet are public, and which others the operator has opened.

Requests go where tenants say. What is not public belongs to the operator, or to nobody.

Source: the registries of special-purpose addresses of IANA (RFC 6890 and what came after it).
"""

import collections.abc
import functools
import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: An IPv6 address outside is multicast, link-local, of one site, or of no use.
_GLOBAL_UNICAST = ipaddress.IPv6Network('2000::/3')
#: The IPv4 address in the last 32 bits is what a packet reaches in the end (RFC 6052).
_NAT64 = ipaddress.IPv6Network('64:ff9b::/96')

_SPECIAL = tuple(
    ipaddress.ip_network(text)
    for text in (
        '0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24',
        '192.0.2.0/24', '192.31.196.0/24', '192.52.193.0/24', '192.88.99.0/24', '192.168.0.0/16', '192.175.48.0/24',
        '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/4', '240.0.0.0/4',
        # Protocol assignments with Teredo, documentation, 6to4. The last reach an IPv4 address through relays that
        # hardly exist any more: no such address is taken for a public one, whatever it stands for.
        '2001::/23', '2001:db8::/32', '2002::/16', '2620:4f:8000::/48', '3fff::/20',
    )
)  # fmt: skip


@functools.lru_cache(maxsize=64)
def read(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """Networks such as 10.1.0.0/16.

    :raises ValueError: saying which one is none.
    """
    return tuple(ipaddress.ip_network(text.strip()) for text in texts)


def plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, or else the address itself, without its zone."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    address = ipaddress.IPv6Address(int(address))
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address


def is_public(address: Address) -> bool:
    """Whether it is a unicast address of the public Internet."""
    address = plain(address)
    if address.version == 6 and address not in _GLOBAL_UNICAST:
        return False
    # The standard library's own list grows with its version, and so does not know everything everywhere.
    return address.is_global and not any(address in network for network in _SPECIAL)


def is_within(address: Address, networks: collections.abc.Iterable[Network]) -> bool:
    """Whether one of `networks` holds the address, or the IPv4 address that it stands for."""
    return any(plain(address) in network or address in network for network in networks)
