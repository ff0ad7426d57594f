"""What people and programs meet: REST, WebSockets, pages, and the command line."""
