# Generated from tests/service/sdk/test_async_batches.py by scripts/unasync.py. Do not edit.
"""Batch reads of any length."""

from __future__ import annotations

import uuid

import pytest

from openhands_client import OpenHands, ValidationError
from openhands_reference_server import ReferenceServer


def test_more_ids_than_a_server_takes_at_once_keep_their_order(server: ReferenceServer) -> None:
    with OpenHands(server.url) as client:
        conversation = client.conversations.create()
        ids = [uuid.uuid4().hex for _ in range(449)]
        ids.insert(317, conversation.id)
        found = client.v1.batch_get_app_conversations(ids)
        assert [one.id if one else None for one in found] == [
            id_ if id_ == conversation.id else None for id_ in ids
        ]
        assert client.v1.batch_get_app_conversations([]) == []
        with pytest.raises(ValidationError, match="ids"):
            client.v1.batch_get_start_tasks([*ids, "no uuid"])
