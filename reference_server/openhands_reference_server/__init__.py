"""The OpenHands conversation API, V0 and V1, answered by a scripted agent instead of a model.

A test double that behaves like the real thing:

    from openhands_reference_server import ReferenceServer

    with ReferenceServer() as server:
        ...  # server.url, server.agent_url
"""

try:
    from openhands_reference_server.control import faults
    from openhands_reference_server.control.journal import Exchange, NotSeen
    from openhands_reference_server.control.matching import Match
    from openhands_reference_server.domain.script import (
        AgentScript,
        Fail,
        Finish,
        GetStuck,
        Run,
        Say,
        Script,
        Think,
        Write,
    )
    from openhands_reference_server.embedded import ReferenceServer
    from openhands_reference_server.workspace.files import UploadLimits
    from openhands_reference_server.world.scheduler import ManualClock
except ModuleNotFoundError as missing:
    raise ImportError(
        f"the reference server needs {missing.name}: pip install 'openhands-client[server]'"
    ) from missing

__all__ = [
    "AgentScript",
    "Exchange",
    "Fail",
    "Finish",
    "GetStuck",
    "ManualClock",
    "Match",
    "NotSeen",
    "ReferenceServer",
    "Run",
    "Say",
    "Script",
    "Think",
    "UploadLimits",
    "Write",
    "faults",
]
