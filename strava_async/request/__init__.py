"""One request: arguments to a call, its order of steps, a reply to a value or an error."""
