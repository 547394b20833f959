"""Short, slow, obviously right: what the fast code is held to."""
