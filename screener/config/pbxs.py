"""The Asterisks that a configuration names, and the secrets of the accounts on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from screener.config.layers import SETTINGS, Layers
from screener.config.nodes import Place, Scalar, Tree, merge
from screener.config.validating import locate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from screener.config.settings import Ami, Settings

SECRET_VARIABLE = "SCREENER_AMI_SECRET"  # noqa: S105 - the name, not the secret
"""Environment variable that holds the secret of the manager account; it wins over the files."""
PLACEHOLDER = "CHANGE-ME"
"""What the shipped manager.conf says in place of a secret."""


class UnusableError(ValueError):
    """A secret that is none; `key` is what is wrong."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(why)
        self.key = key


def secret_of(ami: Ami) -> SecretStr:
    """The secret of an account, read from `secret_file` if one is named; UnusableError if there is none."""
    if ami.secret.get_secret_value() == PLACEHOLDER:
        raise UnusableError("secret", f"{PLACEHOLDER} is no secret; choose one, in manager.conf too")
    if ami.secret.get_secret_value():
        return ami.secret
    if not ami.secret_file:
        raise UnusableError("secret", f"is empty; set it, ami.secret_file or ${SECRET_VARIABLE}")
    try:
        secret = Path(ami.secret_file).read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8"
        raise UnusableError("secret_file", f"{ami.secret_file}: {reason}") from None
    if not secret:
        raise UnusableError("secret_file", f"{ami.secret_file} is empty")
    return SecretStr(secret)


def take_secret(layers: Layers, environ: Mapping[str, str]) -> None:
    """Let the environment stand above the files, with its name as the origin."""
    ami = layers.trees[SETTINGS].get("ami") if SETTINGS in layers.trees else None
    if (secret := environ.get(SECRET_VARIABLE)) and isinstance(ami, Tree):
        place = Place(f"environment variable {SECRET_VARIABLE}", 0, 0)
        ami["secret"] = Scalar(secret, place)
        ami.key_places.setdefault("secret", place)


def two_secrets(tree: Tree, settings: Settings) -> Iterator[str]:
    """A secret and a file that holds one: it is not clear which is meant."""
    place = locate(tree, ("ami", "secret_file")).place
    from_environment = locate(tree, ("ami", "secret")).place.line == 0
    if settings.ami.secret_file and settings.ami.secret.get_secret_value() and not from_environment:
        yield f"{place}: ami.secret_file: ami.secret is set as well; keep one of the two"


def complete(layers: Layers) -> None:
    """Lay `ami` and `recordings_dir` under each of several Asterisks; who names a secret has no other."""
    tree = layers.trees.get(SETTINGS, Tree(Place(SETTINGS, 1, 1), {}, {}))
    ami, pbxs = tree.get("ami"), tree.get("pbxs")
    if not isinstance(ami, Tree) or not isinstance(pbxs, Tree):
        return
    for name, own in pbxs.items():
        if not isinstance(own, Tree):
            continue
        base = Tree(ami.place, dict(ami), ami.key_places)
        if own.keys() & {"secret", "secret_file"}:
            base |= {key: Scalar("", ami.place) for key in ("secret", "secret_file")}
        if "recordings_dir" in tree:
            base["recordings_dir"] = tree["recordings_dir"]
        pbxs[name] = merge(base, own)


def shared_directories(tree: Tree, settings: Settings) -> Iterator[str]:
    """Two Asterisks that record into one directory: each would file what the other recorded."""
    seen: dict[Path, str] = {}
    for name, pbx in settings.pbxs.items():
        if other := seen.setdefault(pbx.recordings_dir, name) * (seen[pbx.recordings_dir] != name):
            place = locate(tree, ("pbxs", name)).place
            yield (
                f"{place}: pbxs.{name}.recordings_dir: {other} records into {pbx.recordings_dir}, too; "
                "give each a directory of its own, as SCREENER_SPOOL of its dialplan"
            )
