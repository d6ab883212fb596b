"""The async side: thin shells around the flows of ``_core``. The sync side is generated from it."""
