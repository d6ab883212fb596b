"""A reference server in a process of its own, until its stdin ends; prints its URL."""

import sys

from openhands_reference_server import ReferenceServer

if __name__ == "__main__":
    with ReferenceServer(max_concurrent_conversations=100_000) as server:
        print(server.url, flush=True)
        sys.stdin.read()
