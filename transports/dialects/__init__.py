"""What clients speak on the socket: frames to commands and events to frames, without any I/O."""
