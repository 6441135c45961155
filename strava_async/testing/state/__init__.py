"""What the emulator keeps: applications and grants, athletes and their activities."""
