"""A bundle written: the same content gives the same bytes, and is there whole or not at all.

`SHA256SUMS` names every file, `SHA256SUMS.sig` is its signature, `public-key.pem` the key beside it. A ZIP is
stored, not compressed, in the order of names, with one fixed time.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, TypeAlias

from screener import disk
from screener.errors import ScreenerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from screener.signing import Signer

Content: TypeAlias = bytes | Path
SUMS: Final = "SHA256SUMS"
SIGNATURE: Final = "SHA256SUMS.sig"
KEY: Final = "public-key.pem"
EPOCH: Final = (1980, 1, 1, 0, 0, 0)
BLOCK_BYTES: Final = 1 << 16


def digest(content: Content) -> str:
    """SHA-256 of a file's content; OSError when it cannot be read or is no regular file."""
    hashed = hashlib.sha256()
    for block in blocks(content):
        hashed.update(block)
    return hashed.hexdigest()


def blocks(content: Content) -> Iterator[bytes]:
    """A file's content, piece by piece; no device or pipe is read, nor a link or what lies behind one."""
    if isinstance(content, bytes):
        yield content
        return
    with disk.opened(content.parent) as folder:
        opened = os.open(content.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    with os.fdopen(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{content}: it is not a file")
        while block := file.read(BLOCK_BYTES):
            yield block


def seal(
    target: Path,
    files: Mapping[str, Content],
    signer: Signer,
    describe: Callable[[Mapping[str, str]], Mapping[str, bytes]] = lambda _: {},
) -> None:
    """Write the files as a bundle, signed: a ZIP if `target` ends so, else a folder. For its owner only.

    `describe` is told the SHA-256 of each file as it was copied, for the original may change at any moment,
    and gives what is written about them; a file that cannot be read is left out. Raises ScreenerError when
    there is something at that place, or it cannot be written.
    """
    if target.exists() or target.is_symlink():
        raise ScreenerError(f"{target}: there is something already; name another place")
    parent = target.absolute().parent
    if not parent.is_dir():
        raise ScreenerError(f"{target}: there is no directory {parent}; make it first")
    try:
        with tempfile.TemporaryDirectory(dir=parent, prefix=".screener-") as work:
            folder = Path(work) / "bundle"
            _write(folder, {**files, KEY: str(signer.public).encode()}, signer, describe)
            if target.suffix.lower() == ".zip":
                packed = Path(work) / "packed"
                with os.fdopen(os.open(packed, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600), "w+b") as out:
                    pack(
                        out,
                        {
                            one.relative_to(folder).as_posix(): one
                            for one in folder.rglob("*")
                            if one.is_file()
                        },
                    )
                os.link(packed, target)  # unlike rename it never replaces what came there meanwhile
            else:
                folder.rename(target)
    except OSError as error:
        mend = "is there space?" if error.errno == errno.ENOSPC else f"who may write in {parent}?"
        raise ScreenerError(
            f"{target}: the bundle cannot be written: {error.strerror or error}; {mend}"
        ) from error


def _write(
    folder: Path,
    files: Mapping[str, Content],
    signer: Signer,
    describe: Callable[[Mapping[str, str]], Mapping[str, bytes]],
) -> None:
    folder.mkdir(mode=0o700)
    sums = _copied(folder, files)
    sums |= _copied(folder, describe(sums))
    listed = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())).encode()
    for name, made in ((SUMS, listed), (SIGNATURE, signer.sign(listed))):
        with _new(folder / name) as out:
            out.write(made)


def _copied(folder: Path, files: Mapping[str, Content]) -> dict[str, str]:
    """Write these files there; the SHA-256 of what was written, without those that cannot be read."""
    sums = {}
    for name, content in files.items():
        place, hashed, source = folder / name, hashlib.sha256(), blocks(content)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _new(place) as out:
            while block := _next(source):
                hashed.update(block)
                out.write(block)
        if block is None:
            place.unlink()
            with suppress(OSError):
                place.parent.rmdir()  # if that leaves it empty
        else:
            sums[name] = hashed.hexdigest()
    return sums


def _next(source: Iterator[bytes]) -> bytes | None:
    """What is read next, empty at the end; None where it cannot be read."""
    try:
        return next(source, b"")
    except OSError:
        return None


def _new(place: Path) -> IO[bytes]:
    return os.fdopen(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")


def pack(out: IO[bytes], files: Mapping[str, Path]) -> None:
    """Write a ZIP of the files that is the same for the same files."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, place in sorted(files.items()):
            info = zipfile.ZipInfo(name, EPOCH)
            info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o600) << 16
            info.file_size = place.stat().st_size
            with archive.open(info, "w") as entry, place.open("rb") as file:
                shutil.copyfileobj(file, entry, BLOCK_BYTES)
