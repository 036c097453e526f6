"""Whether a bundle is as it was written. It may come from anybody: what is in it is only read and hashed."""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from screener.errors import ScreenerError
from screener.evidence.sealing import BLOCK_BYTES, KEY, SIGNATURE, SUMS, blocks, digest, pack
from screener.ledger import chain
from screener.signing import Public

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME: Final = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,80}(/[A-Za-z0-9][A-Za-z0-9._-]{0,80})?")
"""What a file of a bundle may be called: no way out of its folder, nothing hidden, one folder deep."""
LINE: Final = re.compile(rf"([0-9a-f]{{64}})  ({NAME.pattern})")
FILES_BOUND: Final = 100_000
READ_BYTES: Final = 256 << 20
"""The most that is read of one file at once: of the list, and of the rows."""
ROWS: Final = "ledger.jsonl"
LINKED: Final = ("before", "seq", "pbx", "call_id", "kind", "at_us", "digest")


def verify(bundle: Path, key: Path | None = None) -> list[str]:
    """What is wrong with a bundle, folder or ZIP, each thing with the file's name; nothing if it is whole.

    `key` is the public key (PEM) that must have signed it; without one the key in the bundle is used, which
    proves only that nobody without that key changed it. ScreenerError when it is no bundle at all.
    """
    try:
        if bundle.is_dir():
            return _problems(folder := bundle.resolve(), _listed(folder), key)
        with tempfile.TemporaryDirectory(prefix="screener-") as work:
            folder = Path(work).resolve()
            refused = _unpack(bundle, folder)
            problems = refused or _problems(folder, _listed(folder), key)
            return problems or _altered(bundle, folder)
    except (OSError, zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
        raise ScreenerError(f"{bundle}: not a bundle, or damaged beyond reading: {error}") from error


def _listed(folder: Path) -> dict[str, str]:
    """What lies in a folder, each with what is wrong with it, without following any link."""
    found: dict[str, str] = {}

    def walk(place: Path, above: str) -> None:
        entries = sorted(os.scandir(place), key=lambda one: one.name)
        for entry in entries:
            name = above + entry.name
            if len(found) > FILES_BOUND:
                raise ValueError(f"more than {FILES_BOUND} files")
            if entry.is_dir(follow_symlinks=False) and not above:
                walk(Path(entry.path), f"{name}/")
            else:
                found[name] = "" if entry.is_file(follow_symlinks=False) else "is no file; refused"
        if above and not entries:
            found[above] = "was added: an empty folder"

    walk(folder, "")
    return found


def _problems(folder: Path, found: dict[str, str], key: Path | None) -> list[str]:
    lines = _read(folder, SUMS, found).decode("utf-8", "replace").splitlines()
    sums, problems = dict[str, str](), [f"{name}: {wrong}" for name, wrong in found.items() if wrong]
    for at, line in enumerate(lines, 1):
        match = LINE.fullmatch(line)
        if not match or match[2] in sums or match[2] in {SUMS, SIGNATURE}:
            problems.append(f"{SUMS}: line {at} is not as it was written")
        else:
            sums[match[2]] = match[1]
    problems += [f"{name}: missing" for name in sorted({*sums, SIGNATURE} - {*found})]
    for name, wrong in found.items():
        if wrong or name in {SUMS, SIGNATURE}:
            continue
        if name not in sums:
            problems.append(f"{name}: was added")
        elif digest(folder / name) != sums[name]:
            problems.append(f"{name}: changed")
    problems += _unsigned(folder, found, key)
    return problems or _unchained(folder, found, _public(folder, found, key))


def _public(folder: Path, found: dict[str, str], key: Path | None) -> Public:
    """The key that is given, or that in the bundle; ScreenerError when it is none."""
    if key:
        return Public.read(key)
    with tempfile.NamedTemporaryFile() as file:
        file.write(_read(folder, KEY, found))
        file.flush()
        return Public.read(Path(file.name))


def _unsigned(folder: Path, found: dict[str, str], key: Path | None) -> list[str]:
    """Whether the list was signed by the key that is given, or by that in the bundle."""
    try:
        public = _public(folder, found, key)
    except ScreenerError:
        if key:
            raise
        return [f"{KEY}: no Ed25519 public key can be read in it"]
    if not public.signed(_read(folder, SUMS, found), _read(folder, SIGNATURE, found)):
        return [f"{SIGNATURE}: is not the signature of {SUMS} by {key or KEY}"]
    return [] if str(public).encode() == _read(folder, KEY, found) else [f"{KEY}: is not the key that signed"]


def _unchained(folder: Path, found: dict[str, str], public: Public) -> list[str]:
    """Which line of the ledger's rows is not what the chain says, or a checkpoint that was not signed."""
    hashes, problems = dict[int, str](), []
    for at, line in enumerate(_read(folder, ROWS, found).splitlines(), 1):
        try:
            row = json.loads(line)
            follows = hashes.get(row["seq"] - 1, row["before"]) == row["before"]
            if not follows or row["hash"] != chain.linked(*(row[name] for name in LINKED)):
                problems.append(f"{ROWS}: line {at}: it does not follow from the row before it")
            if row.get("salt") and chain.digest(row["salt"], row["body"]) != row["digest"]:
                problems.append(f"{ROWS}: line {at}: its body is not what was filed")
            told = json.loads(row["body"]) if row["kind"] == "checkpoint" else {}
            if told.get("key") == public.fingerprint:
                signed = public.signed(
                    chain.statement(told["seq"], told["hash"]), bytes.fromhex(told["signature"])
                )
                if not signed or hashes.get(told["seq"], told["hash"]) != told["hash"]:
                    problems.append(f"{ROWS}: line {at}: a checkpoint of other rows than these")
            hashes[row["seq"]] = row["hash"]
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            problems.append(f"{ROWS}: line {at}: no row of a ledger")
    return problems


def _read(folder: Path, name: str, found: dict[str, str]) -> bytes:
    if found.get(name) != "":
        return b""
    if (folder / name).stat().st_size > READ_BYTES:
        raise ValueError(f"{name} is too large")
    return b"".join(blocks(folder / name))


def _unpack(bundle: Path, folder: Path) -> list[str]:
    """Take a ZIP apart; what no export of ours contains is named, and nothing is written then."""
    with zipfile.ZipFile(bundle) as archive:
        infos = archive.infolist()
        if len(infos) > FILES_BOUND:
            return [f"{bundle.name}: refused, it has more than {FILES_BOUND} files"]
        refused = list(_refused(infos))
        if sum(one.file_size for one in infos) > bundle.stat().st_size:
            refused.append(f"{bundle.name}: refused, it holds more than its size")
        for info in [] if refused else infos:
            place = folder / info.filename
            place.parent.mkdir(mode=0o700, exist_ok=True)
            try:
                with archive.open(info) as entry, place.open("xb") as out:
                    while block := entry.read(BLOCK_BYTES):
                        out.write(block)
            except (OSError, zipfile.BadZipFile, EOFError) as error:
                refused.append(f"{info.filename}: changed or damaged: {error}")
        return refused


def _refused(infos: list[zipfile.ZipInfo]) -> Iterator[str]:
    seen: set[str] = set()
    for info in infos:
        name = ascii(info.filename)
        if not NAME.fullmatch(info.filename):
            yield f"{name}: refused, no file of a bundle has such a name"
        elif info.filename in seen:
            yield f"{name}: refused, it is there twice"
        elif (
            info.compress_type != zipfile.ZIP_STORED
            or info.file_size != info.compress_size
            or info.flag_bits & 1
        ):
            yield f"{name}: refused, it is compressed or encrypted; unpack it and verify the folder"
        elif not stat.S_ISREG(info.external_attr >> 16):
            yield f"{name}: refused, it is a link, a device or a folder"
        seen.add(info.filename)


def _altered(bundle: Path, folder: Path) -> list[str]:
    """Whether the archive around whole files is, byte for byte, the one that was written."""
    names = {one.relative_to(folder).as_posix(): one for one in folder.rglob("*") if one.is_file()}
    with tempfile.TemporaryFile() as again, bundle.open("rb") as file:
        pack(again, names)
        again.seek(0)
        at = 0
        while True:
            ours, theirs = again.read(BLOCK_BYTES), file.read(BLOCK_BYTES)
            if ours != theirs:
                at += next(
                    (n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
                    min(len(ours), len(theirs)),
                )
                return [f"{bundle.name}: the archive was altered at byte {at}; the files in it are whole"]
            if not ours:
                return []
            at += len(ours)
