"""From a case to its bundle."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from screener.evidence.dossier import Dossier, gather
from screener.evidence.pages import pages
from screener.evidence.sealing import Content, digest, seal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
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
    dossier = gather(case, records, how)
    faults = list(_checked(dossier))
    listed = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows).encode()
    written = pages(dossier.data, lang, blanked=how.blank is not None, faults=faults)
    files: dict[str, Content] = {**written, **dossier.files, "ledger.jsonl": listed}
    seal(target, files, signer)
    return faults


def _checked(dossier: Dossier) -> Iterable[str]:
    """Compare the files with their hashes in the ledger; what is missing is left out of the bundle."""
    for entry in dossier.data["entries"]:
        for one in entry["files"]:
            name = one["file"]
            try:
                one["as_filed"] = digest(dossier.files[name]) == one["sha256"]
                if not one["as_filed"]:
                    yield f"{name} is not as it was filed, its SHA-256 was {one['sha256']}"
            except (OSError, KeyError):
                one["as_filed"] = None
                dossier.files.pop(name, None)
                yield f"{name} is missing, its SHA-256 was {one['sha256']}"
