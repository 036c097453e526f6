"""What is known of a call, as named, typed values with a unit and a source.

To add a fact: one row in `catalogue.CATALOGUE`; one entry in the derivation of its source in `deriving`
(for the source `state`: what an empty store says, in `catalogue`); one row in its test.
"""

from screener.facts.catalogue import (
    BY_NAME,
    CATALOGUE,
    NEVER_DAYS,
    NO_CHALLENGES,
    NO_DEALINGS,
    NO_TEXT,
    PYTHON_TYPES,
    QUIET,
    UNLISTED,
    Fact,
    FactType,
    FactValue,
    Source,
    never_seen,
)
from screener.facts.deriving import PRESENTATIONS, Place, facts_of

__all__ = [
    "BY_NAME",
    "CATALOGUE",
    "NEVER_DAYS",
    "NO_CHALLENGES",
    "NO_DEALINGS",
    "NO_TEXT",
    "PRESENTATIONS",
    "PYTHON_TYPES",
    "QUIET",
    "UNLISTED",
    "Fact",
    "FactType",
    "FactValue",
    "Place",
    "Source",
    "facts_of",
    "never_seen",
]
