"""Which addresses of the network are public, and so may be reached for an agent."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address

#: Azure answers its machines' agents there, with what only they should see.
_METADATA = frozenset({IPv4Address("168.63.129.16")})
#: RFC 6052: the last four bytes are an IPv4 address that a gateway will reach.
_NAT64 = IPv6Network("64:ff9b::/96")
#: Local NAT64 (RFC 8215), 6to4 and Teredo lead to addresses of any kind; once there were
#: site-local ones.
_OTHERS = tuple(map(IPv6Network, ("64:ff9b:1::/48", "2002::/16", "2001::/32", "fec0::/10")))


def is_public(address: Address) -> bool:
    """Whether an address is one of the internet's, in whatever form it is written.

    Not so are this machine, private networks, link-local ones with the clouds' metadata services,
    multicast, and what is reserved.
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
