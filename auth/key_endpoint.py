"""Where an issuer publishes its keys: one GET in bounded time, of bounded size, to nowhere else."""

from collections.abc import Mapping
from typing import Final

import aiohttp

from auth.interfaces import KeysUnavailable
from auth.key_set import LIMIT_BYTES

SECONDS: Final = 3.0
"""For the whole answer: who waits for it, waits in a handshake."""
PATH: Final = "/.well-known/jwks.json"
_PIECE_BYTES: Final = 8 * 1024


class KeyEndpoint:
    """Asks for the keys of an issuer.

    Args:
        issuer: its address.
        proxy: address of the HTTP proxy on the way, if there is one.
        proxy_headers: what the proxy is to be told.
        seconds: for an answer.
    """

    def __init__(
        self, issuer: str, proxy: str | None = None, proxy_headers: Mapping[str, str] | None = None, seconds: float = SECONDS
    ) -> None:
        self.url = f"{issuer}{PATH}"
        self._proxy = proxy
        self._proxy_headers = dict(proxy_headers or {})
        self._timeout = aiohttp.ClientTimeout(total=seconds)

    async def fetch(self) -> bytes:
        """Return what is published.

        Raises:
            KeysUnavailable: nothing, not in time, too much, or somewhere else.
        """
        # A connection of its own: the next question comes in a quarter of an hour. Packed answers could unpack to anything.
        options = {"Accept": "application/json", "Accept-Encoding": "identity"}
        try:
            async with (
                aiohttp.ClientSession(timeout=self._timeout, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as http,
                http.get(
                    self.url, headers=options, allow_redirects=False, proxy=self._proxy, proxy_headers=self._proxy_headers or None
                ) as response,
            ):
                if response.status != 200:  # noqa: PLR2004 - HTTP's own number
                    raise KeysUnavailable(f"{self.url} answers {response.status}")
                body = bytearray()
                async for piece in response.content.iter_chunked(_PIECE_BYTES):
                    body += piece
                    if len(body) > LIMIT_BYTES:
                        raise KeysUnavailable(f"{self.url} answers more than {LIMIT_BYTES:,} bytes")
                return bytes(body)
        except TimeoutError:
            raise KeysUnavailable(f"{self.url} does not answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise KeysUnavailable(f"{self.url} cannot be reached: {type(error).__name__}") from error
