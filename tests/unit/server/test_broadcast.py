"""Subscribers get everything in order, or know that they do not."""

from __future__ import annotations

import threading

from openhands_reference_server.world.broadcast import OVERFLOW, SHUTDOWN, InProcessBroadcast


def test_all_subscribers_of_a_topic_get_everything_in_order() -> None:
    broadcast = InProcessBroadcast()
    one, two = broadcast.subscribe("t"), broadcast.subscribe("t")
    other = broadcast.subscribe("u")
    for number in range(3):
        broadcast.publish("t", number)
    assert one.drain() == two.drain() == [0, 1, 2]
    assert one.drain() == other.drain() == []


def test_unsubscribed_is_unsubscribed() -> None:
    broadcast = InProcessBroadcast()
    one, two = broadcast.subscribe("t"), broadcast.subscribe("t")
    broadcast.unsubscribe("t", one)
    broadcast.unsubscribe("t", one)
    broadcast.publish("t", 1)
    assert (one.drain(), two.drain()) == ([], [1])


def test_who_does_not_keep_up_is_closed_and_not_robbed() -> None:
    broadcast = InProcessBroadcast()
    calls: list[int] = []
    slow = broadcast.subscribe("t", limit=2, notify=lambda: calls.append(1))
    fast = broadcast.subscribe("t")
    for number in range(5):
        broadcast.publish("t", number)
    assert slow.closed == OVERFLOW
    assert slow.drain() == []
    assert fast.drain() == [0, 1, 2, 3, 4]
    assert len(calls) == 5


def test_closing_a_topic_keeps_what_is_queued() -> None:
    broadcast = InProcessBroadcast()
    subscription = broadcast.subscribe("t")
    broadcast.publish("t", 1)
    broadcast.close_topic("t", "gone")
    broadcast.publish("t", 2)
    assert (subscription.closed, subscription.drain()) == ("gone", [1])


def test_waiting_ends_with_a_message_or_with_the_end() -> None:
    broadcast = InProcessBroadcast()
    subscription = broadcast.subscribe("t")
    assert subscription.get(timeout=0) == []
    threading.Timer(0.01, broadcast.publish, ("t", 1)).start()
    assert subscription.get(timeout=5) == [1]
    threading.Timer(0.01, broadcast.close).start()
    assert subscription.get(timeout=5) == []
    assert subscription.closed == SHUTDOWN


def test_after_the_end_a_subscription_is_closed_from_the_start() -> None:
    broadcast = InProcessBroadcast()
    broadcast.close()
    assert broadcast.subscribe("t").closed == SHUTDOWN
