"""Whole conversations while the network and the server misbehave."""
