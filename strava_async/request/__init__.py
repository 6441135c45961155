"""A request from the arguments of a call to its value."""
