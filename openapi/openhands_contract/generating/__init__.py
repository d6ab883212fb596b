"""Requests that Schemathesis makes up from the documents, and what they find."""
