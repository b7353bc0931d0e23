"""HTTP/2 for the stream: our own framing on asyncio."""
