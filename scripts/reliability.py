"""Write docs/reliability.md from the SDK's catalogue of operations: ``python scripts/reliability.py [--check]``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # this script is run by its path

from openhands_client._core import operations as ops
from openhands_client._core.inquiry import LOOKS
from openhands_client._core.operation import Repeat
from openhands_client._core.retry import REPEATED_STATUSES, RetryPolicy
from openhands_client._core.starting import STALLED, UNANSWERED
from scripts.documents import write_or_check

POLICY = RetryPolicy()
CLASSES = {
    Repeat.SAFE: "safe",
    Repeat.VERIFY: "verified first",
    Repeat.NEVER: "never",
}
PROSE = f"""\
# Reliability

<!-- Written by scripts/reliability.py from sdk/openhands_client/_core/operations.py. Do not edit. -->

The SDK loses nothing and repeats nothing. Where it cannot know, it says so instead of guessing.

## What may be repeated

An answer that never came leaves open whether the server acted: the request timed out, the connection broke, the
answer is a 5xx or 408, or it cannot be read. What happens then depends on the operation:

| Class | Means | After a failure that leaves it open |
|---|---|---|
| safe | it reads, or ends in the same state however often it is done | it is sent again |
| verified first | it starts or sends something that leaves traces | the traces are looked for: where there are some, \
the call succeeds; where there can be none, it is sent again; else `OutcomeUnknownError` |
| never | it starts or sends something without a trace | the error is raised |

What the server certainly did not handle is sent again whatever the class: no connection, no token to be had, 429.

The unified verbs (`client.conversations`, `Conversation`) verify. So do `client.v1.start`, `create_conversation`,
`stream_start` and `send_message`. The other service methods are one request each: there, «verified first» is «never».

## How it is verified

Looked at once where the server itself said that it failed (500, 503), else {len(LOOKS)} times within \
{sum(LOOKS):g} seconds, because what is under way may take a moment to show.

**Starting, V1.** Every order carries a `conversation_id` that the client chose. After a failure the newest start tasks
are searched for it, then the conversations. What is found is adopted. What is not is ordered again with the same id:
a server has one conversation per id. While a conversation starts, a server that does not answer is asked again,
{UNANSWERED + 1} times with all tries. A start whose stage stream was cut is polled on; if it then stands still for
{STALLED:g} seconds (real servers give it up with its stream), it is ordered again with its id and in its sandbox.

**Starting, V0.** An order has no id. After a failure the newest conversations are listed: those that came up since,
by the server's clock, for the same repository and branch, may be it. If there are some, or if the server may still
act (after a timeout), `OutcomeUnknownError` names them in `candidates`. Otherwise it is ordered again.

**Sending.** Before a message is sent, the last event of the log is noted, which is one short request more. After a
failure the events since are read:
if the message is among them, it was taken. After a timeout without a trace it is not sent again, because the server
may take it yet: `OutcomeUnknownError`; `history()` tells.

**Confirming, and what else changes the state of an agent.** The same, with the events that such a change leaves. So
one answer never confirms the next action, which nobody has seen.

**Deleting.** A conversation that is gone after a failure was deleted: the call returns true.

What a conversation needs after its start (a title, a message that must not wake the agent) may fail too. Then
`StartTaskError.conversation_id` says which conversation it is. `StartTaskTimeout.conversation_id` says which one may
still come up.

Two things cannot be told apart: the same text sent to one conversation by two clients at the same moment, and, in V0,
two conversations started for the same repository at the same moment. The first counts as one message if one of the
answers is lost; the second is an `OutcomeUnknownError`.

## The policy

```python
from openhands_client import OpenHands, RetryPolicy

policy = RetryPolicy(
    max_retries=5,
    budget=60.0,
    on_retry=lambda retry: print(retry.attempt, retry.operation, retry.reason, retry.sleep),
)
client = OpenHands(retry=policy)
careful = client.with_options(max_retries=0)  # the same policy, without further tries
```

| Field | Default | Means |
|---|---|---|
| `max_retries` | {POLICY.max_retries} | tries after the first |
| `initial`, `maximum` | {POLICY.initial:g} s, {POLICY.maximum:g} s | first and longest wait; exponential, with jitter |
| `longest_retry_after` | {POLICY.longest_retry_after:g} s | how long a `Retry-After` is waited for; beyond, the error \
is raised at once |
| `budget` | none | seconds after the first try in which another may begin |
| `statuses` | {", ".join(map(str, REPEATED_STATUSES))} | answers worth another try |
| `methods` | {", ".join(POLICY.methods)} | HTTP methods that may be repeated |
| `classes` | `Repeat.SAFE`, `Repeat.VERIFY` | classes of operations that may be |
| `on_retry` | none | told `attempt`, `reason`, `sleep`, `operation` before each wait |

No wait reaches beyond the deadline of a call. `create(timeout=)` and `wait(timeout=)` are such deadlines: they hold for
requests under way, for streams that fall silent and for answers that come drop by drop.

## Streams

V1: subscribe, then read the log from the last event seen; what the socket repeats is dropped by id. A state that ends
the stream is handed out after all events before it. V0: the socket only says that there is news; the log is read from
the last id on. Reconnecting waits 0.1 to 10 s, exponentially and with jitter, at most six times in a row without news.
A handshake has 10 s; pings go out every 20 s; 16 frames are buffered, then the server has to wait. `after=` resumes,
also in another process. What is final ends the stream: close code 4004 is `NotFoundError`, 4001 and HTTP 403 on the
handshake are `AuthenticationError` unless the app server knows a new key, and a sandbox that does not run is a
`StreamError` that says so.

## Tokens

`BearerAuth` and `OAuth2Auth` renew a token before it expires, once after a 401, and once after a 403 that says
`AUTHORIZATION$PERMISSION_DENIED`. Whoever needs it meanwhile waits for that one renewal, over all clients of the
process that share the object (of each event loop, in async programs). A token endpoint that refuses is an
`AuthenticationError`; one that fails or does not answer is tried again like any failed connection. The key of an agent
server is looked up again when it is refused.

## Many at once

`create_many(requests, concurrency=…)` gives a `CreationResult` for each request, in order, with a conversation or an
error. With `journal=` the id of every conversation is on the disk before the order for it is sent; a later run with the
same requests and the same file looks for what was begun, waits for it, and creates only what was not. The journal holds
a digest of the requests, no messages and no keys. A V0 order that a killed run left without an answer is an
`OutcomeUnknownError` in its result, because nothing shows whether it was taken.

`async for news in watch(conversations)` gives the events of many conversations as they come; each has a task, a
connection and a place in a bounded buffer, and its failure is a value.

## The life of a client

| Situation | What happens |
|---|---|
| many threads | share one pool of connections |
| one event loop after another, or several | each has connections of its own, which are closed when it shuts down |
| a fork | the child opens its own connections, goes on with open streams, and closes nothing of its parent's |
| `pickle` | clients and handles travel without connections |
| `close()` | requests of other threads finish; streams and waits, and all later calls, raise `ClientClosedError` |
| no `close()` | `ResourceWarning`, if there was a connection |

`make chaos` plays 1,000 conversations against servers that fail, drop connections before and after handling, cut
sockets and forget tokens, and prints what was lost or came twice: nothing.

## Habits of real servers

| Habit | What the SDK does |
|---|---|
| a paused sandbox takes connections and never answers | asks the app server after one read timeout, and says PAUSED |
| an agent server resets the connection after a failure it did not foresee | no connection is used again after a 5xx |
| `/run` and confirmations answer only when the run is over, or 409 while it runs | waits 2 s, then looks at the \
conversation; 409 is success |
| 10 requests a second, then delays, then 429 | waits as `Retry-After` says |
| Socket.IO sends events before it confirms the connection, and repeats some | takes the first packet for a yes, and \
events from the log |
| pages of the app server's events lose one event at each border | `event_service.all_events()` asks for it by its id |
| a wrong key for a socket is HTTP 403, not a close code | both are an `AuthenticationError` |
| right after `resume()` an agent still seems paused | waits up to 5 s until it is not |
| a V0 agent that is loaded awaits input before it sees a message | that is no rest while the message is unanswered |
"""


def main(arguments: list[str]) -> int:
    return write_or_check("reliability.md", document(), arguments)


def document() -> str:
    sections = [PROSE, "## Operations of the app server\n", table("app")]
    return "\n".join([*sections, "## Operations of the agent server\n", table("agent")])


def table(server: Literal["app", "agent"]) -> str:
    rows = ["| Operation | Repeated | Looked at |", "|---|---|---|"]
    rows += [
        f"| `{one}` | {CLASSES[one.repeat]} | {one.evidence} |" for one in ops.ALL if one.server == server
    ]
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
