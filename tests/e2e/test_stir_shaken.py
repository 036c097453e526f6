"""Calls signed by their carrier (RFC 8224, 8588), verified by our own Asterisk: what becomes a fact of it."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.feed_server import feed_server, response
from tests.pbx.asterisk import find_binary
from tests.pbx.house import House

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        int(find_binary().version.partition(".")[0]) < 18,
        reason="Asterisk 16 verifies nothing that other implementations sign: that was rewritten in 18.22",
    ),
]

DID = "13105550199"
_CODE_709J = b"\x30\x08\xa0\x06\x16\x04709J"
FETCHED_FROM_LOOPBACK = """
[verification]
ca_file={ca}
cert_cache_dir={cache}
; only here: a certificate is fetched by https from a public address, else anybody could send us anywhere
relax_x5u_port_scheme_restrictions=yes
x5u_deny=0.0.0.0/0.0.0.0
x5u_permit=127.0.0.0/8

[carrier]
type=profile
endpoint_behavior=verify
"""


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Authority:
    """Who certifies carriers; a certificate names the carrier by its code (TNAuthList, RFC 8226)."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self.issue("Authority", self.key.public_key(), ca=True)

    def issue(self, name: str, key: ec.EllipticCurvePublicKey, *, ca: bool = False) -> bytes:
        """A certificate as PEM."""
        now = datetime.now(UTC)
        issuer, subject = (
            x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)]) for text in ("Authority", name)
        )
        made = (
            x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            codes = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.26"), _CODE_709J)
            made = made.add_extension(codes, critical=False)
        return made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True)
class Carrier:
    """Who signs: his key, and where his certificate is to be fetched."""

    key: ec.EllipticCurvePrivateKey
    url: str
    authority: bytes

    def signs(self, number: str, attest: str = "A", age_s: int = 0) -> bytes:
        """The headers of a call from `number` that he vouches for."""
        head = {"alg": "ES256", "ppt": "shaken", "typ": "passport", "x5u": self.url}
        claims = {
            "attest": attest,
            "dest": {"tn": [DID]},
            "iat": int(time.time()) - age_s,
            "orig": {"tn": number},
            "origid": "de305d54-75b4-431b-adb2-eb6b9e546014",
        }
        signed = ".".join(_b64(json.dumps(part, separators=(",", ":")).encode()) for part in (head, claims))
        r, s = decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        token = f"{signed}.{_b64(r.to_bytes(32) + s.to_bytes(32))}"
        identity = f"Identity: {token};info=<{self.url}>;alg=ES256;ppt=shaken\r\n"
        return (identity + f"Date: {formatdate(usegmt=True)}\r\n").encode()


Headers = Callable[[dict[str, Carrier], str], bytes]
ONE_OF_ANOTHER = "12125550100"
CALLS: list[tuple[str, str, str | None, str | None, Headers]] = [
    # what it is, the caller; stir.verified, stir.attestation; how he is vouched for
    ("the caller known", "12125550100", "passed", "A", lambda by, him: by["carrier"].signs(him)),
    ("came through a gateway", "13125550100", "passed", "C", lambda by, him: by["carrier"].signs(him, "C")),
    (
        # … and a header that anybody can write says better.
        "came through a gateway, says better", "14155550100", "passed", "C",
        lambda by, him: b"P-Attestation-Indicator: A\r\n" + by["carrier"].signs(him, "C"),
    ),
    ("of another call", "15125550100", "failed", None, lambda by, _: by["carrier"].signs(ONE_OF_ANOTHER)),
    ("the key of somebody else", "16025550100", "failed", None, lambda by, him: by["thief"].signs(him)),
    ("certified by himself", "17025550100", "failed", None, lambda by, him: by["stranger"].signs(him)),
    ("ten minutes ago", "18135550100", "failed", None, lambda by, him: by["carrier"].signs(him, age_s=600)),
    ("no certificate to be had", "19165550100", None, None, lambda by, him: by["lost"].signs(him)),
    ("no token", "12065550100", None, None, lambda *_: b"Identity: nonsense\r\n"),
    ("not at all", "12155550100", None, None, lambda *_: b""),
]  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def carriers() -> AsyncIterator[dict[str, Carrier]]:
    """Who signs calls, by what he is; the web server has their certificates."""
    known, unknown = Authority(), Authority()
    ours, theirs, strangers = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    async with feed_server() as web:
        web.answers = {
            "/ca": response(known.certificate),
            "/ours": response(known.issue("Carrier", ours.public_key())),
            "/strangers": response(unknown.issue("Stranger", strangers.public_key())),
        }
        yield {
            "carrier": Carrier(ours, web.url + "/ours", known.certificate),
            "thief": Carrier(theirs, web.url + "/ours", known.certificate),
            "stranger": Carrier(strangers, web.url + "/strangers", unknown.certificate),
            "lost": Carrier(ours, web.url + "/lost", known.certificate),
        }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    carriers: dict[str, Carrier], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    cache = tmp_path_factory.mktemp("certificates")
    (cache / "ca").write_bytes(carriers["carrier"].authority)
    more = {
        "modules.conf": "load=res_pjsip_stir_shaken.so\n",
        "pjsip.conf": "[trunk](+)\nstir_shaken_profile=carrier\n",
        "stir_shaken.conf": FETCHED_FROM_LOOPBACK.format(ca=cache / "ca", cache=cache),
    }
    async with House.open(pbx={"more": more}, trunks={"PJSIP/trunk": {"region": "US"}}) as opened:
        yield opened


@pytest.mark.parametrize("row", CALLS, ids=[row[0] for row in CALLS])
async def test_call__signed_by_a_carrier__what_our_asterisk_found_is_a_fact_and_the_call_rings(
    house: House, carriers: dict[str, Carrier], row: tuple[str, str, str | None, str | None, Headers]
) -> None:
    _, number, verified, attestation, headers = row
    call = await house.caller.call(DID, number, headers=headers(carriers, number))
    await asyncio.wait_for(call.answered.wait(), 10)
    call.hangup()
    record = await house.ended(e164=f"+{number}")
    facts = (record.facts.get("stir.verified"), record.facts.get("stir.attestation"))
    assert facts == (verified, attestation), house.pbx.log()
    symbols = {hit["symbol"] for hit in record.verdict["hits"]} & {"STIR_FAILED", "ATTESTATION_C"}
    wanted = {"STIR_FAILED": verified == "failed", "ATTESTATION_C": attestation == "C"}
    assert symbols == {symbol for symbol, hit in wanted.items() if hit}
