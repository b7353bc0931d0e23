"""Nova Sonic as a protocol: what may be said to the model, and in which order."""
