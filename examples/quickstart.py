"""Start a conversation, watch the agent work, talk to it, stop it.

    python examples/quickstart.py            # V1 where the server has it, else V0
    python examples/quickstart.py v0         # insist on a generation

The server is at OPENHANDS_BASE_URL, by default http://localhost:3000.
"""

import sys

from openhands_client import OpenHands


def main(api: str) -> None:
    with OpenHands(api=api) as client:
        print(f"Talking to {client.base_url}")
        conversation = client.conversations.create(
            "Say hello and list the files",
            title="Quickstart",
            on_progress=lambda task: print(f"  starting: {task.status}"),
        )
        print(f"{conversation.title!r} is a {conversation.version} conversation, {conversation.status}")

        for event in conversation.events():  # ends when the agent comes to rest
            print(f"  {event}"[:120].replace("\n", " "))
        print(f"The agent is at rest: {conversation.agent_state}")

        conversation.send("Now write a changelog")
        print(f"It answered, and is {conversation.wait(timeout=120)} again")
        print(f"{sum(1 for _ in conversation.history())} events are in its history")

        conversation.stop()
        print(f"Stopped: {conversation.status}")
        conversation.delete()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "auto")
