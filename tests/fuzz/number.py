"""A caller ID, a From header, a display name: what is read of it is safe to print and to use as a key."""

from screener import number, sip

SEEDS = [
    b"+8617712345678",
    b'"x" <sip:+861@h;verstat=TN-Validation-Passed>;tag=1',
    b"anonymous",
    "１３９１２３４５６７８".encode(),
    b"00861771234567;ext=1",
    b"tel:+49-30-123456;phone-context=+49",
    b"0" * 40,
]


def target(raw: bytes) -> None:
    text = raw.decode("utf-8", "surrogateescape")
    for region in ("CN", "DE"):
        read = number.parse(text, region)
        assert not read.key or (read.key.isascii() and read.key.removeprefix("+").isdigit()), read
        assert all(char.isprintable() for char in read.shown), read
    user, host = sip.user_and_host(text)
    assert len(user) + len(host) <= 3 * len(text)  # %2B is one character, casefold may make three
    assert len(sip.parameter(text, "verstat")) <= 64
