"""Batch reads of any length."""

from __future__ import annotations

import uuid

import pytest

from openhands_client import AsyncOpenHands, ValidationError
from openhands_reference_server import ReferenceServer


async def test_more_ids_than_a_server_takes_at_once_keep_their_order(server: ReferenceServer) -> None:
    async with AsyncOpenHands(server.url) as client:
        conversation = await client.conversations.create()
        ids = [uuid.uuid4().hex for _ in range(449)]
        ids.insert(317, conversation.id)
        found = await client.v1.batch_get_app_conversations(ids)
        assert [one.id if one else None for one in found] == [
            id_ if id_ == conversation.id else None for id_ in ids
        ]
        assert await client.v1.batch_get_app_conversations([]) == []
        with pytest.raises(ValidationError, match="ids"):
            await client.v1.batch_get_start_tasks([*ids, "no uuid"])
