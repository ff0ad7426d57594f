"""Telling what happened to whoever listens: the hub reads the outbox once for all of a process."""
