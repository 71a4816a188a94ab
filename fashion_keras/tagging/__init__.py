"""From photos in bulk, and a model or a server, to a table."""
