"""What `server.py --check` looks at: each part by itself, all at once, and in bounded time, so that one start tells all that is wrong."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields, replace
from typing import Final, Protocol

from api.health import Check
from auth.interfaces import KeysUnavailable
from auth.key_set import KeySetUnusable, parse_key_set
from config import AuthMode, Settings, StorageKind
from parts.access import key_endpoint
from parts.assistants import load_assistants
from parts.database import make_own_table, open_database
from parts.errors import StartFailed
from parts.model import LOCAL_KEY, make_client, open_endpoint, place_of
from parts.tools import open_tools
from s2s import failures
from s2s.bedrock.credentials import ChainCredentials, Credentials, StaticCredentials
from s2s.bedrock.interfaces import Transport
from s2s.cures import explain
from s2s.errors import ModelError
from s2s.failures import Failure
from storage.errors import StorageDenied, StorageError, TableMissing
from storage.table import Table
from storage.tables import DEFINITIONS, all_tables

REPLY_SECONDS: Final = 0.2
"""Kept back of the time for a part, so that what it waited for in vain is told, and not only that it was late."""
_DATABASE: Final = "check AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_DYNAMODB and the network"
_POLICY: Final = "check the credentials, and that they may use the tables (docs/how-to/run-on-aws.md has the policy)"


class Model(Protocol):
    """The model's service, as far as it is looked at."""

    async def ping(self) -> None:
        """Reach the endpoint.

        Raises:
            ModelError: it cannot be reached.
        """

    async def try_out(self) -> None:
        """Open a stream and close it in order.

        Raises:
            ModelError: it was refused.
        """


class NotAsked(Exception):
    """A part cannot be looked at for want of another."""


@dataclass(frozen=True, slots=True)
class Finding:
    """How one part is."""

    part: str
    code: str = "ok"
    line: str = ""
    """Cause and cure; empty when all is well."""


async def examine(settings: Settings, resources: AsyncExitStack, seconds: float) -> list[Finding]:
    """Look at every part and return what was found, in the order in which they are needed.

    Args:
        settings: as read.
        resources: takes what was opened, for the caller to close.
        seconds: for all parts together; the start of the emulator with --local is not counted.
    """
    credentials: Credentials = StaticCredentials(LOCAL_KEY, LOCAL_KEY) if settings.local else ChainCredentials(region=settings.region)
    try:
        endpoint = await open_endpoint(settings, resources)
        model = make_client(settings, *endpoint, credentials)
        # Needs nobody to sign as; has our own TLS, as the Common Runtime tells of a certificate that it does not trust after 20 s.
        probe = make_client(replace(settings, model_transport=Transport.H2), *endpoint, StaticCredentials(LOCAL_KEY, LOCAL_KEY))
    except (StartFailed, ModelError) as error:
        line = explain(error, place_of(settings)) if isinstance(error, ModelError) else str(error)
        return [Finding("settings"), Finding("model", getattr(error, "code", "failed"), line)]
    for client in (model, probe):
        resources.push_async_callback(client.aclose)

    def look(part: str, check: Check) -> "asyncio.Task[Finding]":
        return group.create_task(_look(settings, part, check, seconds))

    async with asyncio.TaskGroup() as group:
        assistants = look("assistants", _try_assistants)
        signing = look("credentials", lambda: try_credentials(credentials, seconds - REPLY_SECONDS))
        asking = look("model", lambda: try_model(model, probe, signing, seconds - REPLY_SECONDS))
        storing = look("storage", lambda: _try_storage(settings, resources))
        entering = look("auth", lambda: _try_keys(settings)) if settings.auth is AuthMode.COGNITO else None
    found = [Finding("settings"), assistants.result(), signing.result(), asking.result(), storing.result()]
    return found if entering is None else [*found, entering.result()]


async def try_credentials(credentials: Credentials, seconds: float) -> None:
    """Find out whether there is somebody to sign as.

    Raises:
        ModelError: there is nobody, or not in time.
    """
    await _within(seconds, credentials.identity, failures.CREDENTIALS_AWAY, f"{credentials.source}: no answer")


async def try_model(model: Model, probe: Model, signing: "asyncio.Task[Finding]", seconds: float) -> None:
    """Reach the endpoint, and have the model accept a stream if there is somebody to sign as.

    Args:
        model: signs as the server would.
        probe: the same endpoint, with made-up credentials.
        signing: looks for credentials meanwhile.
        seconds: for both.

    Raises:
        ModelError: it cannot be reached, or refuses the stream.
        NotAsked: it can be reached, and there is nobody to sign as.
    """
    until = asyncio.get_running_loop().time() + seconds
    await _within(seconds, probe.ping, failures.UNREACHABLE, "no answer")
    if (await asyncio.shield(signing)).code != "ok":
        raise NotAsked("The endpoint can be reached; whether the model answers can be asked once there are credentials")
    await _within(until - asyncio.get_running_loop().time(), model.try_out, failures.OPENING_TIMEOUT, "no answer")


async def _within(seconds: float, ask: Callable[[], Awaitable[object]], late: Failure, detail: str) -> None:
    try:
        async with asyncio.timeout(seconds):
            await ask()
    except TimeoutError:
        raise late.error(f"{detail} within {seconds:.1f} s") from None


async def _try_assistants() -> None:
    load_assistants()


async def _try_keys(settings: Settings) -> None:
    try:
        parse_key_set(await key_endpoint(settings).fetch())
    except KeySetUnusable as error:
        raise KeysUnavailable(f"{key_endpoint(settings).url} has no keys: {error}") from None


async def _try_storage(settings: Settings, resources: AsyncExitStack) -> None:
    """Ask every table that the server uses.

    Raises:
        TableMissing: names all that are missing, with their settings.
        StorageError: they cannot be used.
    """
    database = await open_database(settings, resources)
    await open_tools(settings, database, resources, {})
    variables = {field.name: field.metadata["env"] for field in fields(settings) if field.metadata}
    named = {variables[define.__name__]: table for define, table in zip(DEFINITIONS, all_tables(settings), strict=True)}
    if not settings.sessions_keys:
        del named["SESSIONS_TABLE"]  # without a key no conversation is kept
    outcomes = await asyncio.gather(*(_try_table(settings, database.table(table)) for table in named.values()), return_exceptions=True)
    found = dict(zip(named, outcomes, strict=True))
    missing = [f"{variable}={named[variable].name}" for variable, outcome in found.items() if isinstance(outcome, TableMissing)]
    if missing:
        raise TableMissing(", ".join(missing))
    for outcome in outcomes:
        if outcome is not None:
            raise outcome


async def _try_table(settings: Settings, table: Table) -> None:
    await make_own_table(settings, table)
    await table.ping()


async def _look(settings: Settings, part: str, check: Check, seconds: float) -> Finding:
    try:
        async with asyncio.timeout(seconds):
            await check()
    except TimeoutError:  # the other parts have limits of their own, which say more
        if part == "auth":
            return Finding(part, "timeout", f"The issuer of tokens does not answer within {seconds:.1f} s: check the network")
        return Finding(part, "timeout", f"The records do not answer within {seconds:.1f} s: {_DATABASE}")
    except ModelError as error:
        return Finding(part, error.code, explain(error, place_of(settings)))
    except KeysUnavailable as error:
        return Finding(part, error.code, f"Nobody can sign in: check COGNITO_USER_POOL_ID or COGNITO_ISSUER, and the network ({error})")
    except NotAsked as reason:
        return Finding(part, "not_asked", str(reason))
    except StorageError as error:
        return Finding(part, "failed", _storage_line(settings, error))
    except StartFailed as error:
        cause = error.__cause__
        return Finding(part, "failed", _storage_line(settings, cause) if isinstance(cause, StorageError) else str(error))
    return Finding(part)


def _storage_line(settings: Settings, error: StorageError) -> str:
    words = " ".join(str(error).split())
    if settings.storage is StorageKind.SQLITE:
        return f"The database file cannot be used: check SQLITE_PATH={settings.sqlite_path} ({words})"
    if isinstance(error, TableMissing):
        return f"Tables are missing: run scripts/seed_data.py --create-tables --no-examples, or correct their names ({words})"
    if isinstance(error, StorageDenied):
        return f"DynamoDB lets nobody in: {_POLICY} ({words})"
    return f"DynamoDB cannot be used: {_DATABASE} ({words})"
