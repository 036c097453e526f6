"""What callers said, in writing: after the call, one recording at a time, never in the way of a call.

Off as shipped. Whatever fails here costs the transcript and nothing else; what waits when the service
stops is transcribed after the next start only if somebody is still to be told of it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from screener import telemetry
from screener.errors import ScreenerError
from screener.ledger import Row
from screener.text import printable
from screener.wording import TEXT_BOUND

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from screener.config.settings import Transcription
    from screener.facts import Place
    from screener.ledger import Ledger
    from screener.recordings import Recording
    from screener.wording import Wording

log = structlog.get_logger(__name__)

INSTALL: Final = "pip install 'asterisk-screener[stt]'"
START_S: Final = 60
"""How long loading a model may take; the base model takes half a second."""
SLOWEST: Final = 10
"""So many times the length of a recording may its transcription take; the base model takes a third of it."""

_WORKER = Path(__file__).with_name("worker.py")


class Transcriber:
    """Has what `take` was given transcribed by `run`, and files text and findings as a `transcript` row."""

    def __init__(
        self,
        settings: Transcription,
        wording: Wording,
        ledger: Ledger,
        place: Place,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings, self._wording, self._ledger = settings, wording, ledger
        self._place, self._clock = place, clock
        self._queue: asyncio.Queue[tuple[str, Recording, asyncio.Future[None]]] = asyncio.Queue(
            settings.queue
        )

    @property
    def waiting(self) -> int:
        """How many recordings wait for their turn."""
        return self._queue.qsize()

    def take(self, call_id: str, recording: Recording) -> asyncio.Future[None] | None:
        """Transcribe the caller's leg of a call when its turn comes; anything else is passed over.

        While too many wait it is left out, with a warning. What is returned is done when the transcript is
        in the ledger's hands or will never be; None at once where there will be none.
        """
        if recording.leg != "caller" or recording.silent or not recording.complete:
            return None
        done = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait((call_id, recording, done))
        except asyncio.QueueFull:
            log.warning("too many recordings wait: this one is not transcribed", path=str(recording.path))
            return None
        return done

    async def run(self) -> None:
        """Transcribe what there is, for ever."""
        while True:
            call_id, recording, done = await self._queue.get()
            with telemetry.about_call(call_id):
                try:
                    await self._transcribe(call_id, recording)
                except ScreenerError as error:
                    log.warning(
                        "a recording was not transcribed", path=str(recording.path), reason=str(error)
                    )
                finally:
                    done.set_result(None)

    async def _transcribe(self, call_id: str, recording: Recording) -> None:
        settings, loop = self._settings, asyncio.get_running_loop()
        seconds = min(recording.seconds, settings.max_s)
        started = loop.time()
        heard = await _worked(
            settings.model,
            settings.language,
            settings.max_s,
            START_S + SLOWEST * int(seconds),
            recording.path,
        )
        took_s = round(loop.time() - started, 1)
        text, language = printable(str(heard["text"]), TEXT_BOUND), str(heard["language"])
        day = recording.closed_at.astimezone(self._place.zone).date()
        find = partial(self._wording.find, language=language, region=self._place.region, said_on=day)
        found = await asyncio.to_thread(find, text)  # callers must not wait for it
        body = {
            "path": str(recording.path), "sha256": recording.sha256, "seconds": seconds, "took_s": took_s,
            "model": settings.model, "language": language, "probability": round(heard["probability"], 3),
            "text": text, "wording": [asdict(one) for one in found],
        }  # fmt: skip
        self._ledger.append(Row(call_id, "transcript", self._clock(), body))
        log.info("recording transcribed", language=language, seconds=seconds, took_s=took_s, found=len(found))


async def ready(model: str) -> None:
    """See that the extra and the model are there; else raises ScreenerError, with what to do."""
    if importlib.util.find_spec("faster_whisper") is None:
        raise ScreenerError(f"transcription: the extra stt is not installed: {INSTALL}")
    try:
        await _worked(model, "", 0, START_S)
    except ScreenerError as error:
        fetch = f"python -c 'import faster_whisper; faster_whisper.download_model(\"{model}\")'"
        how = (
            "name the folder that holds its model.bin" if model.startswith("/") else f"fetch it once: {fetch}"
        )
        raise ScreenerError(f"transcription.model: {model} cannot be used ({error}); {how}") from None


async def _worked(model: str, language: str, max_s: int, limit_s: int, *path: Path) -> dict[str, Any]:
    """What a worker says of a recording; ScreenerError with its last words if it dies or takes too long."""
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-P", _WORKER, model, language, str(max_s), str(limit_s), *path,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, said = await asyncio.wait_for(worker.communicate(), limit_s)
    except TimeoutError:
        raise ScreenerError(f"it took longer than {limit_s} s") from None
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()
    if worker.returncode:
        last = said.decode(errors="replace").strip().rpartition("\n")[2]
        raise ScreenerError(printable(last, 300) or f"it ended with {worker.returncode}")
    try:
        return dict(json.loads(out or b"{}"))
    except ValueError:
        raise ScreenerError("it said nothing that is understood") from None
