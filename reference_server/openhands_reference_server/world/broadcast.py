"""Who hears about what happened: subscribers of a topic, each with a queue of its own.

Publishing never waits. A subscriber that does not keep up is closed as a whole: it loses its
subscription and knows it, instead of losing single messages without knowing.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

DEFAULT_LIMIT = 10_000

OVERFLOW = "the subscriber did not keep up"
SHUTDOWN = "the server is shutting down"


class Subscription:
    """One subscriber's queue.

    Args:
        limit: messages that may wait; one more closes the subscription.
        notify: called (from the publisher's thread, quickly) when there is something to look at.
    """

    def __init__(self, limit: int = DEFAULT_LIMIT, notify: Callable[[], None] | None = None) -> None:
        self._limit = limit
        self._notify = notify
        self._messages: deque[Any] = deque()
        self._changed = threading.Condition()
        self._reason: str | None = None

    @property
    def closed(self) -> str | None:
        """Why no more messages will come; None while they may."""
        return self._reason

    def put(self, message: Any) -> None:
        """Queue a message, or close the subscription when the queue is full."""
        with self._changed:
            if self._reason is None and len(self._messages) >= self._limit:
                self._messages.clear()
                self._reason = OVERFLOW
            elif self._reason is None:
                self._messages.append(message)
            self._changed.notify_all()
        if self._notify:
            self._notify()

    def close(self, reason: str) -> None:
        """Take no more messages; what is queued can still be drained."""
        with self._changed:
            self._reason = self._reason or reason
            self._changed.notify_all()
        if self._notify:
            self._notify()

    def drain(self) -> list[Any]:
        """All waiting messages, without waiting for any."""
        with self._changed:
            messages = list(self._messages)
            self._messages.clear()
            return messages

    def get(self, timeout: float | None = None) -> list[Any]:
        """Wait for messages; empty when the time is up or the subscription is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._messages or self._reason is not None, timeout)
        return self.drain()


class Broadcast(Protocol):
    """Brings messages from publishers to subscribers."""

    def publish(self, topic: str, message: Any) -> None:
        """Give the message to all subscribers of the topic."""
        ...

    def subscribe(
        self, topic: str, *, notify: Callable[[], None] | None = None, limit: int = DEFAULT_LIMIT
    ) -> Subscription:
        """Hear everything published on the topic from now on."""
        ...

    def unsubscribe(self, topic: str, subscription: Subscription) -> None:
        """Hear no more."""
        ...

    def close_topic(self, topic: str, reason: str) -> None:
        """Close all subscriptions of a topic."""
        ...

    def close(self) -> None:
        """Close all subscriptions, and every later one at once."""
        ...


class InProcessBroadcast:
    """Subscribers are threads of this process."""

    def __init__(self) -> None:
        self._topics: dict[str, list[Subscription]] = {}
        self._lock = threading.Lock()
        self._closed = False

    def publish(self, topic: str, message: Any) -> None:
        """Give the message to all subscribers of the topic."""
        with self._lock:
            subscriptions = list(self._topics.get(topic, ()))
        for subscription in subscriptions:
            subscription.put(message)

    def subscribe(
        self, topic: str, *, notify: Callable[[], None] | None = None, limit: int = DEFAULT_LIMIT
    ) -> Subscription:
        """Hear everything published on the topic from now on."""
        subscription = Subscription(limit, notify)
        with self._lock:
            if not self._closed:
                self._topics.setdefault(topic, []).append(subscription)
                return subscription
        subscription.close(SHUTDOWN)
        return subscription

    def unsubscribe(self, topic: str, subscription: Subscription) -> None:
        """Hear no more."""
        with self._lock:
            remaining = [other for other in self._topics.get(topic, ()) if other is not subscription]
            if remaining:
                self._topics[topic] = remaining
            else:
                self._topics.pop(topic, None)

    def close_topic(self, topic: str, reason: str) -> None:
        """Close all subscriptions of a topic."""
        with self._lock:
            subscriptions = self._topics.pop(topic, [])
        for subscription in subscriptions:
            subscription.close(reason)

    def close(self) -> None:
        """Close all subscriptions, and every later one at once."""
        with self._lock:
            self._closed = True
            subscriptions = [one for topic in self._topics.values() for one in topic]
            self._topics.clear()
        for subscription in subscriptions:
            subscription.close(SHUTDOWN)
