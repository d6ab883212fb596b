"""A conversation as a zip archive: its state, and every event in a file of its own, in their order."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, cast

from openhands_reference_server.domain.changes import Event

_IN_MEMORY = 1024 * 1024


def archive(state: Mapping[str, Any], events: Sequence[Event]) -> BinaryIO:
    """The archive, open at its beginning; it is gone when it is closed."""
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # the caller closes it
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("base_state.json", json.dumps(state))
        for number, event in enumerate(events):
            zipped.writestr(f"events/event-{number:05d}-{event['id']}.json", json.dumps(event))
    file.seek(0)
    return cast(BinaryIO, file)
