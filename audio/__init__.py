"""Recorded sound as it comes from outside and goes out again: formats, decoding to samples, encoding. No session, no socket."""
