"""The ledger of a real service: chained, signed when it stops, and rid of what is too old."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from screener.ledger import Ledger, Row, append, verify
from screener.signing import Public
from tests.pbx.faults import somebody
from tests.pbx.house import House


async def test_ledger__service_that_screened_and_stopped__proves_its_rows_and_has_erased_the_old() -> None:
    async with House.open(screener=False) as house:
        path = house.service.state / "ledger.db"
        with Ledger.open(path) as before:
            for days in (31, 1):
                at = datetime.now(UTC) - timedelta(days=days)
                before.append(Row(f"old.{days}", "setup", at, {"call": {"e164": "+8613900000001"}}))
        append(
            path, [Row("", "erased", datetime.now(UTC), {"rows": [], "recordings": []})]
        )  # not the first time
        await house.service.start()
        erased = await house.service.logged("retention: erased")
        assert (erased["calls"], erased["rows"]) == (1, 1)
        number = somebody()
        call = await house.call(number)
        (await house.answered()).hangup()
        call.hangup()
        await house.ended(number=number)
        code, output = await house.service.command("ledger", "key")
        assert code == 0, output
        (house.service.site / "key.pem").write_text(output)
        code, output = await house.service.command("ledger", "hold", "--caller", number, "--because", "test")
        assert code == 0, output
        assert await house.service.stop() == 0
        found = verify(path, Public.read(house.service.site / "key.pem"))
        assert (found.problems, found.erased, found.signed) == ([], 1, found.rows)
        code, output = await house.service.command("ledger", "verify", "--json")
        assert (code, json.loads(output)["head"].split(":")[0]) == (0, str(found.rows))
        assert "old.1" in {one.call_id for one in house.service.calls()}
        assert "old.31" not in {one.call_id for one in house.service.calls()}
