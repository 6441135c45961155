"""The pages that a person sees: consent, and the emulator's front page."""
