"""What a test can do to a server beside calling it: faults, journal, clock, reset, namespaces."""
