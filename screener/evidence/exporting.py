"""From a case to its bundle."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from screener.evidence.dossier import Dossier, gather
from screener.evidence.pages import pages
from screener.evidence.sealing import seal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from screener.cases import Case
    from screener.evidence.dossier import Gathering
    from screener.evidence.words import Language
    from screener.ledger import CallRecord
    from screener.signing import Signer


def export(  # noqa: PLR0913, PLR0917 - what a bundle is made of, each once
    case: Case,
    records: Sequence[CallRecord],
    how: Gathering,
    rows: Iterable[dict[str, Any]],
    target: Path,
    lang: Language,
    signer: Signer,
) -> list[str]:
    """Write the bundle and return what its reader is told of files: which are missing or not as filed.

    Such a file is no reason to refuse the rest. ScreenerError when the bundle cannot be written.
    """
    dossier, faults = gather(case, records, how), list[str]()
    listed = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows).encode()

    def described(copied: Mapping[str, str]) -> dict[str, bytes]:
        faults.extend(_compared(dossier, copied))
        return pages(dossier.data, lang, blanked=how.blank is not None, faults=faults)

    seal(target, {**dossier.files, "ledger.jsonl": listed}, signer, described)
    return faults


def _compared(dossier: Dossier, copied: Mapping[str, str]) -> Iterable[str]:
    """Compare the files as they were copied with their hashes in the ledger; name those that differ."""
    for entry in dossier.data["entries"]:
        for one in entry["files"]:
            now = copied.get(one["file"])
            one["as_filed"] = None if now is None else now == one["sha256"]
            if now is None:
                yield f"{one['file']} is missing, its SHA-256 was {one['sha256']}"
            elif not one["as_filed"]:
                yield f"{one['file']} is not as it was filed, its SHA-256 was {one['sha256']}"
