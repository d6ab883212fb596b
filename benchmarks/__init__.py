"""How fast the SDK is, always told as a ratio to the plain libraries, measured in the same run.

`python -m benchmarks`, or `make bench`. A machine's absolute times say little; what the SDK adds to
what anyone would pay with bare httpx says much, on any machine.
"""
