# Generated from sdk/openhands_client/_async/__init__.py by scripts/unasync.py. Do not edit.
"""The async side: thin shells around the flows of ``_core``. The sync side is generated from it."""
