"""HTTP/2 for the stream over the Common Runtime of AWS (awscrt)."""
