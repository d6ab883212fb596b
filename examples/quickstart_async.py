"""The quickstart with asyncio: watch one conversation while another task keeps an eye on the server.

python examples/quickstart_async.py            # V1 where the server has it, else V0
python examples/quickstart_async.py v0         # insist on a generation
"""

import asyncio
import sys

from openhands_client import AsyncConversation, AsyncOpenHands


async def watch(conversation: AsyncConversation) -> None:
    async for event in conversation.events():  # ends when the agent comes to rest
        print(f"  {event}"[:120].replace("\n", " "))


async def main(api: str) -> None:
    async with AsyncOpenHands(api=api) as client:
        print(f"Talking to {client.base_url}")
        conversation = await client.conversations.create(
            "Say hello and list the files",
            title="Quickstart",
            on_progress=lambda task: print(f"  starting: {task.status}"),
        )
        info, _ = await asyncio.gather(client.server_info(), watch(conversation))
        print(f"The agent is {conversation.agent_state}; the server is up for {info.uptime:.0f} s")

        await conversation.send("Now write a changelog")
        print(f"It answered, and is {await conversation.wait(timeout=120)} again")

        await conversation.stop()
        print(f"Stopped: {conversation.status}")
        await conversation.delete()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "auto"))
