"""Use cases, one module per resource, and the ports they need."""
