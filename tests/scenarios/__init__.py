"""What a user does, written once: the service tests play it against the reference server, the interop tests
against real ones. The sync side is generated."""
