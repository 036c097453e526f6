"""The secret of the manager account in wrong hands: what a thief may do with it, and what he may not.

SECURITY.md says the same in prose; what stands here under "may" is no wish, but what Asterisk allows every
account that may set variables.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.pbx.house import FRIEND, House

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WITHIN_S = 5.0
DENIED: dict[str, dict[str, str]] = {
    "AGI": {"Channel": "x", "Command": "EXEC System id"},
    "Command": {"Command": "core show version"},
    "CoreShowChannels": {},
    "DBGet": {"Family": "x", "Key": "y"},
    "DBPut": {"Family": "x", "Key": "y", "Val": "z"},
    "DialplanExtensionAdd": {"Context": "x", "Extension": "1", "Priority": "1", "Application": "NoOp"},
    "Filter": {"Operation": "Add", "Filter": "Event: .*"},
    "GetConfig": {"Filename": "manager.conf"},
    "MixMonitor": {"Channel": "x", "File": "x.wav"},
    "ModuleLoad": {"LoadType": "load", "Module": "func_shell.so"},
    "Originate": {"Channel": "Local/1@x", "Application": "System", "Data": "id"},
    "Reload": {},
    "UpdateConfig": {"SrcFilename": "manager.conf", "DstFilename": "manager.conf"},
    "UserEvent": {"UserEvent": "ScreenerAsk"},
}
"""Actions of other classes."""
FUNCTIONS = ("SHELL(id)", "EVAL(${SHELL(id)})", "FILE({file},0,100)", "STAT(s,{file})")


class Thief:
    """Somebody who is logged in by the account of the shipped manager.conf."""

    def __init__(self, house: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._house, self._reader, self._writer, self._asked = house, reader, writer, 0

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, house: House) -> AsyncIterator[Thief]:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.pbx.ami)
        thief = cls(house, reader, writer)
        try:
            assert "Success" in await thief.asks("Login", Username="screener", Secret=house.pbx.secret)
            yield thief
        finally:
            writer.close()

    async def asks(self, action: str, **headers: str) -> str:
        """The answer to an action."""
        self._asked += 1
        lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        self._writer.write(f"Action: {action}\r\nActionID: t{self._asked}\r\n{lines}\r\n".encode())
        async with asyncio.timeout(WITHIN_S):
            while True:
                answer = (await self._reader.readuntil(b"\r\n\r\n")).decode()
                if f"ActionID: t{self._asked}\r\n" in answer:
                    return answer

    async def channel(self) -> str:
        """The channel of the call that was just placed."""
        listed = (await says(self._house, "core show channels concise", "PJSIP/trunk")).splitlines()
        return next(line.partition("!")[0] for line in listed if line.startswith("PJSIP/trunk"))


async def says(house: House, command: str, expected: str) -> str:
    """Wait until Asterisk's console answers so."""
    said = ""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(WITHIN_S):
            while expected not in (said := await house.pbx.cli(command)):  # noqa: ASYNC110 - a console
                await asyncio.sleep(0.05)
    assert expected in said
    return said


async def test_thief__of_the_manager_secret__runs_no_action_beyond_its_classes() -> None:
    async with House.open(screener=False) as house, Thief.of(house) as thief:
        for action, headers in DENIED.items():
            assert "Permission denied" in await thief.asks(action, **headers), action


async def test_thief__of_the_manager_secret__reads_no_file_and_runs_no_shell_by_a_function() -> None:
    more = {"modules.conf": "load=func_shell.so\n"}
    async with House.open(screener=False, pbx={"more": more}) as house, Thief.of(house) as thief:
        file = house.directory / "pbx/etc/manager.conf"
        for function in FUNCTIONS:
            answer = await thief.asks("Getvar", Variable=function.replace("{file}", str(file)))
            assert "Error" in answer or "Value: \r\n" in answer, function
        touched = house.directory / "touched"
        for function in (f"FILE({touched})", f"SHELL(touch {touched})", "DB(screener/n000)"):
            assert "Error" in await thief.asks("Setvar", Variable=function, Value="x"), function
        assert not await asyncio.to_thread(touched.exists)


async def test_thief__of_the_manager_secret__may_move_calls_write_messages_and_set_variables() -> None:
    """What remains, as SECURITY.md says: whoever can answer for the screener can do this too."""
    async with House.open(screener=False, answer_after=None) as house, Thief.of(house) as thief:
        await house.call(FRIEND)
        channel = await thief.channel()
        assert "Success" in await thief.asks("Setvar", Variable="GLOBAL(X)", Value="1")
        assert "Success" in await thief.asks("MessageSend", To="pjsip:phone", From="sip:bank@x", Body="pay")
        where = {"Context": "screener-action-voicemail", "Exten": "s", "Priority": "1"}
        assert "Success" in await thief.asks("Redirect", Channel=channel, **where)
        assert "Success" in await thief.asks("Hangup", Channel=channel)


async def test_thief__sets_the_directory_of_recordings__gets_no_command_run_by_it() -> None:
    async with House.open(screener=False, answer_after=None) as house, Thief.of(house) as thief:
        touched = house.directory / "touched"
        spool = f"{house.directory}/x.wav,,touch {touched} #"
        assert "Success" in await thief.asks("Setvar", Variable="GLOBAL(SCREENER_SPOOL)", Value=spool)
        call = await house.call(FRIEND)
        channel = await thief.channel()
        where = {"Context": "screener-action-voicemail", "Exten": "s", "Priority": "1"}
        assert "Success" in await thief.asks("Redirect", Channel=channel, **where)
        # Both names have their ends: the argument behind them, the command, is not there.
        listed = await says(house, f"mixmonitor list {channel}", "x.wav")
        assert f"{house.directory}/x.wav-mix\t" in listed
        assert f"{house.directory}/x.wav-caller\t" in listed
        call.hangup()
        await says(house, "core show channels count", "0 active channels")
        assert not await asyncio.to_thread(touched.exists)


async def test_thief__sets_a_language_with_an_application_in_it__gets_no_command_run_by_it() -> None:
    async with House.open(screener=False, answer_after=None) as house, Thief.of(house) as thief:
        touched = house.directory / "touched"
        branch = f"1?System(touch {touched}):"
        assert "Success" in await thief.asks("Setvar", Variable="GLOBAL(X)", Value=branch)
        call = await house.call(FRIEND)
        channel = await thief.channel()
        value = '" = "x" | GLOBAL(X) | "'  # of which the condition is computed
        assert "Success" in await thief.asks(
            "Setvar", Channel=channel, Variable="SCREENER_SPOKEN", Value=value
        )
        where = {"Context": "screener-action-voicemail", "Exten": "s", "Priority": "1"}
        assert "Success" in await thief.asks("Redirect", Channel=channel, **where)
        await says(house, f"mixmonitor list {channel}", "-caller")
        call.hangup()
        assert not await asyncio.to_thread(touched.exists)


async def test_thief__names_the_copy_of_the_lists_by_an_application__gets_no_command_run_by_it() -> None:
    async with House.open(screener=False) as house, Thief.of(house) as thief:
        touched = house.directory / "touched"
        # No dash may be in it.
        value = f"x):System(cd {str(touched.parent).replace('-', '?')} && touch touched #)-0"
        assert "Success" in await thief.asks("Setvar", Variable="GLOBAL(SCREENER_MIRROR)", Value=value)
        for _ in range(2):
            call = await house.call(FRIEND)
            await house.answered()
            call.hangup()
            await says(house, "core show channels count", "0 active channels")
        assert not await asyncio.to_thread(touched.exists)


async def test_thief__enters_where_messages_are_kept__gets_no_file_of_his_own_written_by_it() -> None:
    async with House.open(screener=False, answer_after=None) as house, Thief.of(house) as thief:
        written = house.directory / "written"
        shown = await house.pbx.cli("dialplan show keep@screener-messages")
        priority = next(line.split(".")[0].split()[-1] for line in shown.splitlines() if "FILE(" in line)
        for spool, file in ((house.directory, written), (f"{written})=stolen", written)):
            await house.call(FRIEND)
            channel = await thief.channel()
            for name, value in (("SCREENER_SPOOL", spool), ("file", file), ("line", "stolen"), ("day", "/")):
                answer = await thief.asks("Setvar", Channel=channel, Variable=name, Value=str(value))
                assert "Success" in answer
            where = {"Context": "screener-messages", "Exten": "keep", "Priority": priority}
            assert "Success" in await thief.asks("Redirect", Channel=channel, **where)
            await says(house, "core show channels count", "0 active channels")
        assert not await asyncio.to_thread(written.exists)
        kept = await asyncio.to_thread((house.directory / "messages-").read_text)
        assert kept == "Id: en\n"


@pytest.mark.parametrize("owed", ["", "1:", "1^FILE({})=stolen:"], ids=["of a call", "owed", "owed call"])
@pytest.mark.parametrize("ends", ["^", ")v("])
async def test_thief__names_a_recording_with_a_function_in_it__gets_no_file_written_by_it(
    ends: str, owed: str
) -> None:
    async with House.open(screener=False) as house, Thief.of(house) as thief:
        written = house.directory / "written"
        value = f"/x{ends}FILE({written})=stolen"
        assert "Success" in await thief.asks("Setvar", Variable="GLOBAL(SCREENER_DELIVERS)", Value="yes")
        call = await house.call(FRIEND)
        await house.answered()
        channel = await thief.channel()
        where = {"Variable": "GLOBAL(SCREENER_OWED)"}
        if not owed:
            where = {"Channel": channel, "Variable": "SCREENER_RECORDING"}
        assert "Success" in await thief.asks("Setvar", **where, Value=owed.format(written) + value)
        call.hangup()
        await says(house, "core show channels", "ask@screener-deliver")
        assert not await asyncio.to_thread(written.exists)


@pytest.mark.parametrize("config", [True, False], ids=["func_config is loaded", "func_config is not loaded"])
async def test_thief__asks_for_the_secret_of_another_account__has_it_only_by_func_config(
    config: bool,  # noqa: FBT001 - the row
) -> None:
    """With it any account that may read variables reads Asterisk's files: SECURITY.md says `noload`."""
    more = {"modules.conf": "load=func_config.so\n" if config else ""}
    async with House.open(screener=False, pbx={"more": more}) as house, Thief.of(house) as thief:
        answer = await thief.asks("Getvar", Variable="AST_CONFIG(manager.conf,test,secret)")
        assert ("Value: test\r\n" in answer) == config


@pytest.mark.parametrize("shell", [True, False], ids=["func_shell is loaded", "func_shell is not loaded"])
async def test_thief__sets_a_variable_that_is_computed_with__runs_commands_only_by_func_shell(
    shell: bool,  # noqa: FBT001 - the row
) -> None:
    """Asterisk calls functions within `$[…]`: no dialplan that computes is safe from who sets variables.

    So SECURITY.md says `noload = func_shell.so`. The row with it is there to see that the other one can fail.
    """
    more = {"modules.conf": "load=func_shell.so\n" if shell else ""}
    async with House.open(pbx={"more": more}) as house, Thief.of(house) as thief:
        touched = house.directory / "touched"
        value = f'SHELL("`touch {touched}`")'
        assert "Success" in await thief.asks("Setvar", Variable="GLOBAL(SCREENER_STALE_S)", Value=value)
        call = await house.call(FRIEND)
        await house.answered()  # whatever he has written there, the call rings
        call.hangup()
        assert await asyncio.to_thread(touched.exists) == shell
