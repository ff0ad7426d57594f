"""What people and programs meet: REST, and the command line."""
