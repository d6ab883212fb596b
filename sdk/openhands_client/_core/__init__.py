"""Everything that decides, without any I/O. See docs/architecture.md."""
