"""Who an athlete is, where and how they train: what is planned before anything is recorded."""
