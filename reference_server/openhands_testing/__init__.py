"""Tools for testing programs that talk to OpenHands: a pytest plugin, and faked answers without a server."""
