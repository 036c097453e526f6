"""Text that strangers wrote, made safe to show: on a terminal, in a log, in a table."""


def printable(text: str, limit: int) -> str:
    """One short line without control, bidi or invisible characters; what cannot be shown is left out."""
    # Twice the limit is read, so that a flood of invisible characters costs no more than a long name.
    cut = text[: 2 * limit]
    if not cut.isprintable():
        cut = "".join(char if char.isprintable() else " " if char.isspace() else "" for char in cut)
    cut = " ".join(cut.split())
    return cut if len(cut) <= limit else cut[: limit - 1] + "…"


def escaped(text: str) -> str:
    r"""Nothing is left out: what does not print, or ends or turns a line, is shown as `\x1b`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
