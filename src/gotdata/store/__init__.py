"""The content cache of this machine, and the engine that fills it."""
