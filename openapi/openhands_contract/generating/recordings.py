"""Lets Schemathesis make texts of the format `v0-recording`: a JSON document in a string.

No pattern describes JSON, and without one any text would do, which the server rightly refuses.
"""

from __future__ import annotations

import json
from typing import Any

import schemathesis
from hypothesis import strategies as st

_SAID = st.builds(
    lambda source, text: {"source": source, "action": "message", "message": text, "args": {"content": text}},
    st.sampled_from(["user", "agent"]),
    st.text(max_size=20),
)
_RAN = st.builds(
    lambda text: {"source": "agent", "observation": "run", "content": text, "extras": {}},
    st.text(max_size=20),
)
_EVENTS = st.lists(st.one_of(_SAID, _RAN), max_size=3)


def _recording(events: Any, wrapped: bool) -> str:
    return json.dumps({"trajectory": events} if wrapped else events)


def teach_recordings() -> None:
    """Make the format known to every later run."""
    schemathesis.openapi.format("v0-recording", st.builds(_recording, _EVENTS, st.booleans()))
