"""What readers may rely on in a row, for one of another version, or of another hand, may lack it.

Of such a row the rest is shown: a part that is not as we write it is left out, and never guessed.
"""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNLIKE: Final = object()


class Section(NamedTuple):
    """Keys and what stands there, other keys as they are; without one of `needs` it is none."""

    keys: dict[str, Model]
    needs: frozenset[str] = frozenset()


class Each(NamedTuple):
    """A list, of which the items that are such are kept."""

    item: Section


Model: TypeAlias = Section | Each | tuple[type, ...]
_TEXT, _NUMBER = (str,), (int, float)


def _texts(*keys: str) -> dict[str, Model]:
    return dict.fromkeys(keys, _TEXT)


def _numbers(*keys: str) -> dict[str, Model]:
    return dict.fromkeys(keys, _NUMBER)


ANY: Final = Section({})
_HIT = Section({**_texts("symbol", "because"), **_numbers("score")}, frozenset(("symbol", "score")))
CALL: Final = Section({**_texts("number", "shown", "did", "name", "trunk", "text"), "e164": (str, NoneType)})
VERDICT: Final = Section(
    {**_texts("action"), **_numbers("score"), "hits": Each(_HIT)}, frozenset(("action", "score", "hits"))
)
END: Final = Section(
    {**_texts("disposition", "number", "did", "missed", "status"), **_numbers("delay_ms", "talk_s")}
)
RECORDING: Final = Section(
    {**_texts("path", "leg", "sha256"), **_numbers("seconds", "bytes")}, frozenset(("path",))
)
_FINDING = Section(_texts("kind", "value", "name", "quote"), frozenset(("kind", "value", "name", "quote")))
TRANSCRIPT: Final = Section({**_texts("text"), "wording": Each(_FINDING)})


def message(body: Mapping[str, Any]) -> dict[str, Any]:
    """The `call`, `verdict` and `wording` of a SIP message's row; who, for whom and what are always there."""
    call = {"shown": "", "did": "", "text": ""} | section(body.get("call"), CALL)
    written = section({"wording": body.get("wording")}, TRANSCRIPT)
    return {"call": call, "verdict": section(body.get("verdict"), VERDICT), "wording": [], **written}


def section(found: object, model: Section) -> dict[str, Any]:
    """What of it is like the model; empty if it is none."""
    fit: Any = _like(found, model)
    return {} if fit is _UNLIKE else fit


def _like(found: Any, model: Model) -> Any:  # noqa: ANN401 - any JSON value
    match model:
        case Section():
            if not isinstance(found, dict):
                return _UNLIKE
            fits = {
                key: _like(value, model.keys[key]) if key in model.keys else value
                for key, value in found.items()
            }
            kept = {key: value for key, value in fits.items() if value is not _UNLIKE}
            return kept if kept.keys() >= model.needs else _UNLIKE
        case Each():
            items = [_like(one, model.item) for one in found] if isinstance(found, list) else _UNLIKE
            return [one for one in items if one is not _UNLIKE] if isinstance(items, list) else _UNLIKE
    return found if isinstance(found, model) and not isinstance(found, bool) else _UNLIKE
