"""What differs between the servers this one can play: the only place that knows them apart.

A `Dialect` is a record of habits, each named for what it does and read where the decision is made; nothing else
in the server asks for a dialect's name. Which operations there are, and which requests are valid, is not said
here: that is in the dialect's OpenAPI document (`openapi/overlays/`).

`docs` is what a correct server does, and has no habit of its own. The others reproduce what servers of their
line really answer, also the odd answers a client must cope with.
"""

from __future__ import annotations

from openhands_contract import documents
from openhands_reference_server.dialects.habits import Dialect
from openhands_reference_server.dialects.openhands_1_0 import OPENHANDS_1_0
from openhands_reference_server.dialects.openhands_1_11 import OPENHANDS_1_11

DOCS = Dialect(name="docs")
_ALL: dict[str, Dialect] = {one.name: one for one in (DOCS, OPENHANDS_1_0, OPENHANDS_1_11)}

__all__ = ["DOCS", "OPENHANDS_1_0", "OPENHANDS_1_11", "Dialect", "named"]


def named(name: documents.Dialect) -> Dialect:
    """The dialect of this name.

    Raises:
        ValueError: there is none; the message names those that exist.
    """
    if name not in _ALL:
        raise ValueError(f"there is no dialect {name!r}; choose one of {', '.join(_ALL)}")
    return _ALL[name]
