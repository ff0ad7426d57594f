"""Sending notifications, and what is signed."""
