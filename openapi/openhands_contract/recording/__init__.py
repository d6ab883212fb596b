"""Recordings: what passed between a client and a server, as JSON lines that hold no secret.

The proxy writes them, the reference server answers from them; `recording.schema.json` beside this file describes
them. Nothing here knows HTTP libraries, so that whoever wants to read a recording can.
"""
