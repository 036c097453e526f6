"""The Asterisks that a configuration names, and the secrets of the accounts on them."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from screener.config.layers import SETTINGS, Layers, why
from screener.config.nodes import Place, Scalar, Tree, merge
from screener.config.validating import key_place, locate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from screener.config.settings import Ami, Settings

SECRET_VARIABLE = "SCREENER_AMI_SECRET"  # noqa: S105 - the name, not the secret
"""Environment variable that holds the secret of the manager account; it wins over the files."""
SECRETS = {"secret", "secret_file"}
PLACEHOLDER = "CHANGE-ME"
"""What the shipped manager.conf says in place of a secret."""


class UnusableError(ValueError):
    """A secret, or a file of certificates, that is none; `key` is what is wrong."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(why)
        self.key = key


def secret_of(ami: Ami, key: str) -> SecretStr:
    """The secret of the account at this key, from `secret_file` if it names one; else UnusableError."""
    if ami.secret.get_secret_value() == PLACEHOLDER:
        raise UnusableError("secret", f"{PLACEHOLDER} is no secret; choose one, in manager.conf too")
    if ami.secret.get_secret_value():
        return ami.secret
    if not ami.secret_file:
        raise UnusableError("secret", f"is empty; set it, {key}.secret_file or ${SECRET_VARIABLE}")
    try:
        secret = Path(ami.secret_file).read_text("utf-8").strip()
    except OSError as error:
        raise UnusableError("secret_file", f"{ami.secret_file}: {why(error)}") from None
    except ValueError:
        raise UnusableError("secret_file", f"{ami.secret_file}: is not UTF-8") from None
    if not secret:
        raise UnusableError("secret_file", f"{ami.secret_file} is empty")
    if not secret.isprintable():
        why_not = "expected one line, the secret and nothing else"
        raise UnusableError("secret_file", f"{ami.secret_file}: {why_not}")
    return SecretStr(secret)


def readable_certificates(ami: Ami) -> None:
    """UnusableError unless the certificates that the connection trusts can be read."""
    file = ami.tls.ca_file
    try:
        if ami.tls.enabled and file:
            ssl.create_default_context(cafile=file)
    except ssl.SSLError:
        raise UnusableError("tls.ca_file", f"{file}: no certificate can be read from it") from None
    except OSError as error:
        raise UnusableError("tls.ca_file", f"{file}: {why(error)}") from None


def take_secret(layers: Layers, environ: Mapping[str, str]) -> None:
    """Let the environment stand above the files, with its name as the origin."""
    tree = layers.trees.get(SETTINGS, Tree(Place(SETTINGS, 1, 1)))
    if (secret := environ.get(SECRET_VARIABLE)) and isinstance(ami := tree.get("ami"), Tree):
        place = Place(f"environment variable {SECRET_VARIABLE}", 0, 0)
        layers.trees[SETTINGS] = tree.having("ami", ami.having("secret", Scalar(secret, place), place))


def complete(layers: Layers) -> None:
    """Lay `ami` and `recordings_dir` under each of several Asterisks; who names a secret has no other."""
    tree = layers.trees.get(SETTINGS, Tree(Place(SETTINGS, 1, 1)))
    ami, pbxs = tree.get("ami"), tree.get("pbxs")
    if not isinstance(ami, Tree) or not isinstance(pbxs, Tree):
        return
    whole = pbxs
    for name, own in pbxs.items():
        if not isinstance(own, Tree):
            continue
        base = Tree(ami.place, dict(ami), ami.key_places)
        if own.keys() & SECRETS or not any(map(ami.get, SECRETS)):
            base |= {key: Scalar("", own.place) for key in SECRETS}
        if "recordings_dir" in tree:
            base["recordings_dir"] = tree["recordings_dir"]
        whole = whole.having(name, merge(base, own))
    layers.trees[SETTINGS] = tree.having("pbxs", whole)


def contradictions(tree: Tree, settings: Settings) -> Iterator[str]:
    """Secrets of which it is not clear which is meant, and what two Asterisks cannot share."""
    told: set[Place] = set()
    accounts: dict[tuple[str, ...], Ami] = {("ami",): settings.ami}
    accounts |= {("pbxs", name): pbx for name, pbx in settings.pbxs.items()}
    for path, ami in accounts.items():
        place = locate(tree, (*path, "secret_file")).place
        from_environment = locate(tree, (*path, "secret")).place.line == 0
        twice = ami.secret_file and ami.secret.get_secret_value() and not from_environment
        if twice and place not in told:  # one that has both from `ami` is not told again
            told.add(place)
            key = ".".join(path)
            yield f"{place}: {key}.secret_file: {key}.secret is set as well; keep one of the two"
    yield from _shared(tree, settings)


def _shared(tree: Tree, settings: Settings) -> Iterator[str]:
    """Two names for one Asterisk; and of two that record into one directory each files what the other did."""
    owner: dict[object, str] = {}
    for name, pbx in settings.pbxs.items():
        place = key_place(tree, ("pbxs", name))
        if (other := owner.setdefault((pbx.host.lower(), pbx.port), name)) != name:
            yield (
                f"{place}: pbxs.{name}.host: {pbx.host}:{pbx.port} is that of {other}, too; "
                "each has a manager interface of its own"
            )
        if (other := owner.setdefault(os.path.normpath(pbx.recordings_dir), name)) != name:
            yield (
                f"{place}: pbxs.{name}.recordings_dir: {other} records into {pbx.recordings_dir}, too; "
                "give each a directory of its own, as SCREENER_SPOOL of its dialplan"
            )
