"""Real servers, where they are installed; see ``tests/interop``."""

from tests.interop.conftest import real_servers

__all__ = ["real_servers"]
