"""What the reference server is about: conversations, start tasks, sandboxes and a scripted agent.

Everything here is pure: no Flask, no storage, no threads, no clock. A module of this package decides
which *records* follow from a request (`changes.py`), and folds records into a state. Who calls it
brings the time and the ids, stores the records and tells the world about them (`world.py`).
"""
