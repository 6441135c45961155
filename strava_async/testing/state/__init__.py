"""The emulator's state: applications and grants, athletes and their activities."""
