"""What is examined: configuration, Asterisk, store and service, each opened once and when it is first needed.

Whatever cannot be had raises NotChecked, at once the second time: each check says why it was not made.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from screener import app, asterisk, config, control
from screener.ami import Account, Ami, tls
from screener.doctor.checkup import aside
from screener.doctor.console import Loaded, sections_of, settings_of
from screener.errors import AmiError, ConfigError, NotChecked, NotRunning, ScreenerError, StateUnavailable
from screener.state import connecting, place

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from redis.asyncio import Redis

    from screener.asterisk import Asterisk
    from screener.config import Config, Settings
    from screener.config.settings import Pbx
    from screener.doctor.console import Line

T = TypeVar("T")

CONSOLE_S = 5.0
STORE_S = 2.0
LOCAL = ("localhost", "127.0.0.1", "::1")


class Patient:
    """One installation. `etc` is Asterisk's directory where it is not the one that Asterisk names."""

    def __init__(
        self, site: Path | None, etc: Path | None, clock: Callable[[], datetime] = app.now, pbx: str = ""
    ) -> None:
        self.site, self.clock, self._pbx = site, clock, pbx
        self._etc = etc
        self._known: dict[str, Any] = {}
        self._config: Config | NotChecked | None = None
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(STORE_S):
                await self._stack.aclose()

    async def once(self, name: str, work: Callable[[], Awaitable[T]]) -> T:
        """The result of the work, or the reason why there is none, from the first time on."""
        if name not in self._known:
            try:
                self._known[name] = await work()
            except NotChecked as error:
                self._known[name] = error
            except TimeoutError:
                self._known[name] = NotChecked(f"{name} gave no answer in time")
            except (ScreenerError, OSError) as error:
                self._known[name] = NotChecked(str(error) or type(error).__name__)
            except asyncio.CancelledError:
                self._known[name] = NotChecked(f"{name} gave no answer in time")
                raise
        if isinstance(found := self._known[name], NotChecked):
            raise found
        return found  # type: ignore[no-any-return]

    # ------------------------------------------------------------ ours

    def load(self) -> Config:
        """Load the configuration; ConfigError with every problem."""
        return config.load(self.site)

    @property
    def config(self) -> Config:
        """The configuration; NotChecked when it does not load."""
        if self._config is None:
            try:
                self._config = self.load()
            except ConfigError as error:
                count = len(error.problems)
                self._config = NotChecked(
                    f"the configuration does not load: {count} mistakes, see configuration.loads"
                )
        if isinstance(self._config, NotChecked):
            raise self._config
        return self._config

    @property
    def settings(self) -> Settings:
        """What stands in screener.yaml."""
        return self.config.settings

    @property
    def name(self) -> str:
        """Which of several Asterisks is looked at: the first unless another is named; NotChecked for none."""
        there = self.settings.asterisks
        if self._pbx and self._pbx not in there:
            raise NotChecked(f"pbxs: there is no {self._pbx}, but {', '.join(there)}")
        return self._pbx or next(iter(there))

    @property
    def pbx(self) -> Pbx:
        """The settings of the Asterisk that is looked at."""
        return self.settings.asterisks[self.name]

    @property
    def state(self) -> Path:
        """Where ledger, key and socket are."""
        return config.state_dir(self.site)

    async def service(self) -> dict[str, Any]:
        """What the running service says of itself; NotChecked without one."""
        return await self.once("the service", lambda: aside(lambda: control.ask(self.state, "status")))

    # ------------------------------------------------------------ Asterisk

    def account(self) -> Ami:
        """The service's own account on the manager interface, not connected."""
        settings = self.pbx
        secret = self.config.ami_secrets()[self.name].get_secret_value()
        account = Account(settings.host, settings.port, settings.username, secret)
        return Ami(account, tls.context(settings.tls), settings.tls.server_name)

    async def ami(self) -> Ami:
        """A connection with the service's own account; it beats no heart, so nobody is asked on it."""

        async def connect() -> Ami:
            account = self.account()
            try:
                await self._stack.enter_async_context(account.visit())
            except (AmiError, OSError, TimeoutError) as error:
                raise NotChecked("no manager connection, see manager.login") from error
            return account

        return await self.once("the manager interface", connect)

    async def value(self, variable: str) -> str:
        """A global, or what a harmless function says, as Asterisk has it."""
        answer = await (await self.ami()).act("Getvar", Variable=variable)
        if not answer.success:
            raise NotChecked(f"the account may not read {variable}, see manager.write: {answer.message}")
        return str(answer.value or "")

    async def asterisk(self) -> Asterisk:
        """The Asterisk of this machine; NotChecked where ours is on another one."""

        async def find() -> Asterisk:
            etc = self._etc
            if etc is None and self.pbx.host not in LOCAL:
                raise NotChecked(f"Asterisk is on {self.pbx.host}: run this there")
            with contextlib.suppress(NotChecked):
                etc = etc or Path(await self.value("ASTETCDIR"))
            async with asyncio.timeout(CONSOLE_S):
                return await aside(lambda: asterisk.find(etc))

        return await self.once("Asterisk", find)

    async def console(self, command: str) -> str:
        """What Asterisk's console answers; NotChecked where there is none, or none for this user."""
        found = await self.asterisk()
        if not found.running:
            raise NotChecked("Asterisk's console does not answer: is it running? else run this as root")

        async def ask() -> str:
            async with asyncio.timeout(CONSOLE_S):
                return await aside(lambda: found.console(command))

        return await self.once(f"console: {command}", ask)

    async def about(self) -> dict[str, str]:
        """Asterisk's own settings, by their names in `core show settings`."""
        return settings_of(await self.console("core show settings"))

    async def dialplan(self) -> Loaded:
        """The dialplan that Asterisk has loaded."""
        return Loaded.read(await self.console("dialplan show"))

    async def sections(self, name: str) -> dict[str, list[Line]]:
        """A file of Asterisk's, by section, with what it includes; NotChecked when it cannot be read."""
        path = (await self.asterisk()).etc / name
        return await aside(lambda: sections_of(path))

    # ------------------------------------------------------------ the store

    def store_url(self) -> str:
        """Where the store is: the one of the settings, or the embedded one of the running service."""
        if url := self.settings.redis.url:
            return url
        directory = app.store_directory(self.settings)
        _, socket = place.holder(directory)
        if socket is None:
            raise NotChecked("the embedded store runs with the service: see service.running")
        return place.url_of(socket)

    async def store(self) -> Redis:
        """The store, connected."""

        async def connect() -> Redis:
            client = connecting.open_client(self.store_url(), timeout_s=STORE_S)
            self._stack.push_async_callback(client.aclose)
            try:
                with connecting.needed():
                    await client.ping()
            except StateUnavailable as error:
                if self.settings.redis.url:
                    raise
                # Where a killed service has left its lock file there is a place, and nobody at it.
                raise NotChecked("the embedded store does not answer: see service.running") from error
            return client

        return await self.once("the store", connect)

    async def is_running(self) -> bool:
        """Whether the service answers."""
        try:
            await self.service()
        except (NotChecked, NotRunning):
            return False
        return True
