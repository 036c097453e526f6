"""What a profile makes of the policy: the same document with its values in place of the others."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from screener.policy.cel import UNKNOWN_SYMBOL
from screener.policy.document import Actions, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from screener.policy.document import Group, PolicyDocument
    from screener.policy.profiles import Profile

UNKNOWN_GROUP = "unknown group"
"""How the complaint about a group that no file has begins."""

_ENGINE = 1
"""Raised when the same document would be judged differently, so that old hashes stay true."""


def under(document: PolicyDocument, profile: Profile) -> PolicyDocument:
    """The document as it is while the profile is in force; raises ValidationError for its thresholds."""
    actions = document.actions.model_dump() | profile.actions.model_dump(exclude_unset=True)
    groups = tuple(_changed(group, profile) for group in document.groups)
    return document.model_copy(update={"actions": Actions.model_validate(actions), "groups": groups})


def _changed(group: Group, profile: Profile) -> Group:
    changed: dict[str, Any] = {}
    if group.group in profile.groups:
        changed = profile.groups[group.group].model_dump(exclude_unset=True)
    if not profile.rules.keys().isdisjoint(group.rules):
        changed["rules"] = group.rules | {
            symbol: group.rules[symbol].model_copy(update=change.model_dump(exclude_unset=True))
            for symbol, change in profile.rules.items()
            if symbol in group.rules
        }
    return group.model_copy(update=changed)


def profile_problems(document: PolicyDocument) -> Iterator[Problem]:
    """Names in profiles that nothing has, and thresholds that are out of order together with the others."""
    groups = [group.group for group in document.groups]
    symbols = [symbol for group in document.groups for symbol in group.rules]
    for name, profile in document.profiles.profiles.items():
        at = ("profiles", name)
        try:
            under(document, profile)
        except ValidationError as error:
            yield from (Problem((*at, "actions"), 0, 0, one["msg"]) for one in error.errors())
        for group in profile.groups.keys() - set(groups):
            yield Problem((*at, "groups", group), 0, 0, _unknown(UNKNOWN_GROUP, group, groups))
        for symbol in profile.rules.keys() - set(symbols):
            yield Problem((*at, "rules", symbol), 0, 0, _unknown(UNKNOWN_SYMBOL, symbol, symbols))


def _unknown(what: str, name: str, names: Collection[str]) -> str:
    close = get_close_matches(name, names, 1, 0.6)
    return f"{what} {name}" + (f"; did you mean {close[0]}?" if close else "")


def canonical(document: PolicyDocument) -> str:
    """What decides a verdict, and nothing else: no comments, sources, descriptions or order of writing."""
    content = {"engine": _ENGINE, **_content(document)}
    profiles = document.profiles
    if profiles.profiles:
        content["holidays"] = sorted(profiles.holidays)
        content["profiles"] = [
            {
                "profile": name,
                "if": profile.model_dump(mode="json", include={"did", "trunk", "days", "hours"}),
                **({"language": profile.language} if profile.language else {}),
                **_difference(content, _content(under(document, profile))),
            }
            for name, profile in profiles.profiles.items()
        ]
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _content(document: PolicyDocument) -> dict[str, Any]:
    enabled = [group for group in document.groups if group.enabled]
    return {
        "actions": document.actions.model_dump(mode="json"),
        "groups": {group.group: group.max_score for group in enabled},
        "rules": {
            symbol: {"group": group.group, **rule.model_dump(mode="json", exclude={"source", "enabled"})}
            for group in enabled
            for symbol, rule in group.rules.items()
            if rule.enabled
        },
    }


def _difference(base: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The values that differ, section by section; None for what is not there any more."""
    return {
        section: {
            key: other[section].get(key)
            for key in base[section].keys() | other[section].keys()
            if base[section].get(key) != other[section].get(key)
        }
        for section in other
    }
