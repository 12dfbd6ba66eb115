"""The public addresses, which are the only ones that agents may reach."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address

#: Azure's metadata address, which no agent may reach.
_METADATA = frozenset({IPv4Address("168.63.129.16")})
#: RFC 6052: the last four bytes are an IPv4 address, to which a gateway connects.
_NAT64 = IPv6Network("64:ff9b::/96")
#: Local NAT64 (RFC 8215), 6to4 and Teredo lead to addresses of any kind; the last network was once
#: for site-local addresses.
_OTHERS = tuple(map(IPv6Network, ("64:ff9b:1::/48", "2002::/16", "2001::/32", "fec0::/10")))


def is_public(address: Address) -> bool:
    """Return whether an address is public, in whatever form it is written.

    Not public are this machine, private networks, link-local addresses with the metadata services
    of clouds, multicast, and reserved addresses.
    """
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped
        if address in _NAT64:
            inner = IPv4Address(address.packed[-4:])
        if inner is not None:
            return is_public(inner)
        if any(address in network for network in _OTHERS):
            return False
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and address not in _METADATA
    )
