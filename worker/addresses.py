"""Which addresses are public: those that anybody on the internet could call."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

_ALLOTTED: Final = IPv6Network("2000::/3")
"""All that IANA gives out for use on the internet; whatever lies elsewhere is for some special end."""
_NAT64: Final = IPv6Network("64:ff9b::/96")
"""RFC 6052: the last four bytes are an IPv4 address, which is where a gateway sends it."""


def is_public(text: str) -> bool:
    """Whether an address is public; one that carries another inside is as public as that one."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast
    if address.ipv4_mapped is not None:
        return is_public(str(address.ipv4_mapped))
    if address in _NAT64:
        return is_public(str(IPv4Address(int(address) & 0xFFFF_FFFF)))
    return address in _ALLOTTED and address.is_global and not _is_tunnel(address)


def _is_tunnel(address: IPv6Address) -> bool:
    """Whether it is of 6to4 or Teredo: both end at an IPv4 address inside, and nobody uses them any more."""
    return address.sixtofour is not None or address.teredo is not None
