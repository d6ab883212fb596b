"""Every answer is compared with what the documents say its operation answers."""

from __future__ import annotations

from collections.abc import Mapping

from openhands_contract.observing import Complaint, Concern, Sight, observes

_TAGS: Mapping[tuple[str, str], str] = {
    ("app-server", "v0-conversations"): "V0-DOCUMENT-01",
    ("app-server", "v0-events"): "V0-DOCUMENT-02",
    ("app-server", "v0-workspace"): "V0-DOCUMENT-03",
    ("app-server", "feedback"): "V0-DOCUMENT-04",
    ("app-server", "settings"): "V0-DOCUMENT-05",
    ("app-server", "app-conversations"): "V1-DOCUMENT-01",
    ("app-server", "start-tasks"): "V1-DOCUMENT-02",
    ("app-server", "events"): "V1-DOCUMENT-03",
    ("app-server", "sandboxes"): "V1-DOCUMENT-04",
    ("app-server", "users"): "V1-DOCUMENT-05",
    ("app-server", "webhooks"): "V1-DOCUMENT-05",
    ("app-server", "meta"): "META-DOCUMENT-01",
    ("agent-server", "conversations"): "AGENT-DOCUMENT-01",
    ("agent-server", "events"): "AGENT-DOCUMENT-02",
    ("agent-server", "files"): "AGENT-DOCUMENT-03",
    ("agent-server", "git"): "AGENT-DOCUMENT-03",
    ("agent-server", "tools"): "AGENT-DOCUMENT-04",
    ("agent-server", "bash"): "AGENT-DOCUMENT-04",
    ("agent-server", "meta"): "AGENT-DOCUMENT-05",
}


def _about(requirement: str) -> Concern:
    def concerned(sight: Sight) -> bool:
        operation = sight.operation
        if operation is None or not sight.exchange.answered:
            return False
        return _TAGS.get((sight.document.name, operation.tag)) == requirement

    return concerned


def _as_documented(sight: Sight) -> Complaint:
    """Compares status, headers, content type and body with the document of the dialect."""
    operation = sight.operation
    if operation is None:
        return None
    complaints = operation.complaints(sight.exchange)
    return f"{operation.id} answered {sight.exchange.status}: {'; '.join(complaints)}" if complaints else None


for _requirement in sorted(set(_TAGS.values())):
    observes(_requirement, when=_about(_requirement))(_as_documented)
