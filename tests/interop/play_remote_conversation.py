"""A whole conversation by `RemoteConversation` of the published `openhands-sdk`, with `openhands-tools`.

Runs under a Python that has them.

Usage: python play_remote_conversation.py AGENT_SERVER_URL SESSION_API_KEY FILE_TO_UPLOAD FOLDER

Prints one JSON object: what the client saw.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

from openhands.sdk import LLM, Agent, Conversation, RemoteConversation, Tool
from openhands.sdk.event import Event
from openhands.sdk.security.confirmation_policy import AlwaysConfirm
from openhands.sdk.workspace import RemoteWorkspace
from openhands.tools.terminal import TerminalTool
from pydantic import SecretStr


class Heard:
    """The events that came over the WebSocket, for those who wait for one."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.kinds.append(type(event).__name__)
            self._changed.notify_all()

    def wait_for(self, kind: str, times: int = 1) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.kinds.count(kind) >= times, 20), (kind, self.kinds)


def main(url: str, key: str, source: Path, folder: Path) -> dict[str, Any]:
    heard = Heard()
    workspace = RemoteWorkspace(host=url, working_dir="/workspace", api_key=key)
    agent = Agent(
        llm=LLM(model="openai/gpt-4o", api_key=SecretStr("sk-secret"), usage_id="agent"),
        tools=[Tool(name=TerminalTool.name)],
    )
    conversation = Conversation(agent=agent, workspace=workspace, callbacks=[heard], visualizer=None)
    assert isinstance(conversation, RemoteConversation)
    heard.wait_for("ConversationStateUpdateEvent")
    seen: dict[str, Any] = {"id": str(conversation.id)}

    conversation.update_secrets({"TOKEN": "s3cr3t"})
    conversation.send_message("Say hello")
    conversation.run()
    heard.wait_for("ObservationEvent", 2)
    seen["first"] = _status(conversation, agent)

    conversation.set_confirmation_policy(AlwaysConfirm())
    conversation.send_message("Say it again")
    conversation.run()
    seen["asked"] = _status(conversation, agent)
    conversation.reject_pending_actions("not now")
    heard.wait_for("UserRejectObservation")
    seen["rejected"] = _status(conversation, agent)
    conversation.run()
    seen["second"] = _status(conversation, agent)

    seen["policy"] = type(conversation.state.confirmation_policy).__name__
    seen["answer"] = conversation.ask_agent("Why?")
    seen["title"] = conversation.generate_title(max_length=20)
    conversation.condense()
    heard.wait_for("Condensation")
    seen["cost"] = conversation.conversation_stats.get_combined_metrics().accumulated_cost
    seen["model"] = conversation.state.agent.llm.model
    seen["listed"] = [type(event).__name__ for event in conversation.state.events]
    seen["heard"] = heard.kinds

    uploaded = workspace.file_upload(source, "/workspace/src/hello.txt")
    back = folder / "back.txt"
    downloaded = workspace.file_download("/workspace/src/hello.txt", back)
    seen["files"] = [uploaded.success, downloaded.success, back.read_text()]
    output = workspace.execute_command("cat src/hello.txt; echo oh >&2; exit 3", timeout=20)
    seen["command"] = [output.exit_code, output.stdout, output.stderr]
    conversation.close()
    return seen


def _status(conversation: RemoteConversation, agent: Agent) -> str:
    """The state of the agent as the server has it: attached anew, so that nothing is remembered."""
    again = RemoteConversation(
        agent=agent, workspace=conversation.workspace, conversation_id=conversation.id, visualizer=None
    )
    try:
        return str(again.state.execution_status.value)
    finally:
        again.close()


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))))
