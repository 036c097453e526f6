"""Addresses as SIP writes them, taken out of whatever a stranger made of them."""

from __future__ import annotations

import re

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_SCHEMES = frozenset(("sip", "sips", "tel"))
_PARAMETER = r";\s*{}\s*=\s*([A-Za-z0-9-]{{1,64}})"


def user_and_host(text: str) -> tuple[str, str]:
    """Take an address out of any of its dresses; a bare number is its own user part."""
    text = text.strip()
    if text.startswith('"'):
        # A display name may hold "<sip:…>" itself; only what follows its closing quote is an address.
        name = _QUOTED.match(text)
        address = text[name.end() :] if name else ""
        if "<" not in address:
            return text.strip('"'), ""
        text = address
    if "<" in text:
        text = text.partition("<")[2].partition(">")[0]
    scheme, colon, rest = text.partition(":")
    if colon and scheme.strip().casefold() in _SCHEMES:
        text = rest.replace("%2B", "+").replace("%2b", "+")
    user, _, host = text.partition("@")
    user = user.partition(";")[0].partition(":")[0].strip()
    return user, host.partition(";")[0].partition(":")[0].strip().casefold()


def parameter(header: str, name: str) -> str:
    """The first parameter of this name in a From or P-Asserted-Identity, in small letters; else empty.

    It may belong to the number, the URI or the header: carriers put `verstat` in each of the three. What
    stands in a display name is the caller's own text and does not count.
    """
    addresses = _QUOTED.sub("", header).partition('"')[0]
    if "<" in addresses:
        addresses = addresses[addresses.index("<") :]
    found = re.search(_PARAMETER.format(name), addresses, re.ASCII | re.IGNORECASE)
    return found[1].casefold() if found else ""
