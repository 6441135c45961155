"""The emulator's HTTP: requests, responses, header fields, access, and the ASGI application."""
