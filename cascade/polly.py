"""Amazon Polly's neural voices (cascade.interfaces.Voice), over HTTP/1.1: the speech is passed on as it comes.

Source: Amazon Polly developer guide, SynthesizeSpeech.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import orjson

from cascade.calls import Service
from cascade.faults import service_error
from cascade.upsampling import IN_HERTZ, OUT_HERTZ, Upsampler
from cascade.voices import CASTINGS
from publishing.signing import signed_headers
from s2s import failures
from s2s.bedrock.credentials import Credentials
from s2s.bedrock.http2.proxy import Proxy
from s2s.errors import ModelError

NAME: Final = "Polly"
SIGNING_NAME: Final = "polly"
ENGINE: Final = "neural"
PIECE_BYTES: Final = 3_200
"""Of speech: 100 ms at 16 kHz, so that nobody waits for the making of 24 kHz."""
CONNECT_SECONDS: Final = 2.5
READ_SECONDS: Final = 4.0
"""For the next piece of speech, the first one included; neural voices begin within some 300 ms as a rule."""
CONNECTIONS: Final = 100
ERROR_BYTES: Final = 64 * 1024


def polly_endpoint(region: str) -> str:
    """Return the URI of the service in a region (AWS General Reference, "Amazon Polly endpoints and quotas")."""
    return f"https://polly.{region}.amazonaws.com"


class PollyVoice:
    """Speaks. Belongs to one event loop; close it with aclose.

    Args:
        service: Polly in a region.
        credentials: whom to sign as.
        ca_file: the only certificate authority to trust, PEM; None for the system's.
        proxy: HTTP proxy on the way.
        utc: the time now.
    """

    def __init__(
        self,
        service: Service,
        credentials: Credentials,
        ca_file: str | None = None,
        proxy: Proxy | None = None,
        utc: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._service = service
        self._url = service.endpoint.rstrip("/") + "/v1/speech"
        self._credentials = credentials
        self._ca_file = ca_file
        self._proxy = proxy
        self._utc = utc
        self._session: aiohttp.ClientSession | None = None
        self._making = asyncio.Lock()

    async def speak(self, text: str, voice_id: str, hertz: int) -> AsyncGenerator[bytes]:
        """Yield the speech of a text as it comes, signed 16-bit little-endian mono; closing the generator gives it up.

        Raises:
            ModelError: it was refused, or failed in the middle.
        """
        casting = CASTINGS.get(voice_id)
        if casting is None:
            raise failures.VOICE.error(f"{NAME}: nobody speaks for {voice_id[:40]}")
        upsampler = Upsampler() if hertz == OUT_HERTZ else None
        body = {
            "Engine": ENGINE,
            "LanguageCode": casting.language,
            "OutputFormat": "pcm",
            "SampleRate": str(IN_HERTZ if upsampler else hertz),
            "Text": text,
            "TextType": "text",
            "VoiceId": casting.polly,
        }
        held = b""
        try:
            async with await self._post(orjson.dumps(body)) as response:
                if response.status != HTTPStatus.OK:
                    raise await self._refusal(response)
                async for data in response.content.iter_chunked(PIECE_BYTES):
                    made = held + (upsampler.take(data) if upsampler else data)
                    held = made[len(made) - len(made) % 2 :]
                    if len(made) > len(held):
                        yield made[: len(made) - len(held)]
        except TimeoutError:
            raise failures.STALLED.error(f"{NAME}: nothing came for {READ_SECONDS:g} s") from None
        except aiohttp.ClientSSLError as error:
            raise failures.UNTRUSTED.error(f"{NAME}: {error}") from error
        except aiohttp.ClientConnectorError as error:
            raise failures.UNREACHABLE.error(f"{NAME}: {error}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise failures.LOST.error(f"{NAME}: {type(error).__name__}: {error}") from error
        if upsampler and (rest := upsampler.finish()):
            yield rest

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _post(self, body: bytes) -> aiohttp.ClientResponse:
        session = await self._made_session()
        identity = await self._credentials.identity()
        signed = signed_headers(
            identity,
            url=self._url,
            headers={"content-type": "application/json"},
            body=body,
            region=self._service.region,
            service=self._service.signing_name,
            now=self._utc(),
        )
        headers = {name: value for name, value in signed.items() if name != "host"} | {"Host": urlsplit(self._url).netloc}
        proxy = self._proxy
        return await session.post(
            self._url,
            data=body,
            headers=headers,
            proxy=f"http://{proxy}" if proxy else None,
            proxy_headers={"Proxy-Authorization": proxy.authorization} if proxy and proxy.authorization else None,
            allow_redirects=False,
        )

    async def _made_session(self) -> aiohttp.ClientSession:
        async with self._making:
            if self._session is None:
                try:
                    context = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_file)
                except OSError as error:
                    raise failures.UNTRUSTED.error(f"{NAME}: the certificate authority's file cannot be used: {error}") from error
                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=context),
                    timeout=aiohttp.ClientTimeout(
                        total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS, connect=CONNECT_SECONDS
                    ),
                    auto_decompress=False,
                )
            return self._session

    async def _refusal(self, response: aiohttp.ClientResponse) -> ModelError:
        try:
            document = orjson.loads(await response.content.read(ERROR_BYTES))
        except orjson.JSONDecodeError:
            document = None
        message = str(document.get("message") or document.get("Message") or "") if isinstance(document, dict) else ""
        name = response.headers.get("x-amzn-errortype", "").partition(":")[0].rpartition("#")[2]
        error = service_error(NAME, name, message, response.status)
        if error.code == failures.CREDENTIALS.code:
            self._credentials.forget()
        return error
