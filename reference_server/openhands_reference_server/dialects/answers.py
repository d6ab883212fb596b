"""How a server line says no: which of the domain's refusals it answers in which words.

A line is a table of `Rule`s, read from the top; what no rule matches is answered as the documents say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from openhands_reference_server.domain.errors import DomainError

JSON, TEXT = "application/json", "text/plain"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered.

    Attributes:
        status: the HTTP status.
        body: JSON, or the text itself if `raw`.
        media_type: what the body is.
        raw: the body is sent as it is.
        resets: the connection is reset behind the answer, without a word about it in the headers.
    """

    status: int
    body: Any
    media_type: str = JSON
    raw: bool = False
    resets: bool = False


Says: TypeAlias = Callable[[Any], Answer]
"""Makes the answer to one kind of error."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What one kind of error is answered with.

    Attributes:
        error: the kind.
        says: makes the answer.
        operations: where this holds, by operationId; everywhere when empty.
    """

    error: type[DomainError]
    says: Says
    operations: frozenset[str] = frozenset()

    def matches(self, operation: str, error: DomainError) -> bool:
        """Is this rule about this error in this operation?"""
        return isinstance(error, self.error) and (not self.operations or operation in self.operations)


def rule(error: type[DomainError], says: Says, *operations: str) -> Rule:
    """A rule for some operations, or for all when none is named."""
    return Rule(error, says, frozenset(operations))


def refusal(rules: Iterable[Rule], operation: str, error: DomainError) -> Answer | None:
    """The answer of the first rule that matches; None when none does."""
    for one in rules:
        if one.matches(operation, error):
            return one.says(error)
    return None


def always(status: int, body: Any) -> Says:
    """Always the same JSON."""
    return lambda error: Answer(status, body)


def detail(status: int, text: str) -> Says:
    """Always the same `{"detail": …}`."""
    return always(status, {"detail": text})


def plain_defect(error: DomainError) -> Answer:
    """What an app server says when it has not foreseen something."""
    return Answer(500, "Internal Server Error", TEXT, raw=True)


def broken_off(error: DomainError) -> Answer:
    """What an app server has streamed when it notices that it cannot go on."""
    return Answer(200, "[\n", raw=True)
