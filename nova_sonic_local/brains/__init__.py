"""What the emulated model thinks: `echo`, `script` and `demo` behind one interface."""
