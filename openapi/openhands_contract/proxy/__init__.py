"""`openhands-contract proxy`: passes a client's traffic on unchanged, and tells what it saw."""
