"""Programs that parse foreign files apart from this process, and what starts them with limits."""
