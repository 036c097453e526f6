"""Whatever order the events of a call come in: the facts stay within their bounds, and nothing is raised."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from screener.talking import STARTS, STOPS, Talks

EVENT = st.one_of(
    st.just({"Event": STARTS}),
    st.integers(-100, 10_000_000).map(lambda ms: {"Event": STOPS, "Duration": str(ms)}),
    st.tuples(
        st.sampled_from(["", "challenge", "voicemail"]), st.sampled_from(["", "begins", "ends", "x"])
    ).map(lambda said: {"Event": "UserEvent", "Version": "1", "Leg": said[0], "Prompt": said[1]}),
)
STEP = st.tuples(EVENT, st.sampled_from(["1.1", "2.2"]), st.floats(-5, 30))  # a clock may be set back


@given(st.lists(STEP, max_size=40), st.floats(0, 30))
def test_talks__events_in_any_order__facts_within_their_bounds(
    steps: list[tuple[dict[str, str], str, float]], after: float
) -> None:
    talks, now, latest = Talks(), 1000.0, 1000.0
    for call in ("1.1", "2.2"):
        talks.receive({"Event": "UserEvent", "Version": "1", "Leg": "voicemail", "Uniqueid": call}, now)
    for event, call, passed in steps:
        now += passed
        latest = max(latest, now)
        talks.receive(event | {"Uniqueid": call}, now)
        for one in ("1.1", "2.2"):
            for name, value in talks.known(one, now + after).items():
                assert 0 <= value <= (1 if name == "talk.over_share" else latest + after - 800), name
