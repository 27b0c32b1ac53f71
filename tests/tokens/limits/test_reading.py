import asyncio
import gc

import pytest

from tests.tokens.limits.world import token
from tokens.limits import reading
from tokens.limits.periods import DAY_MS
from tokens.limits.reading import TallyReader
from tokens.limits.values import LimitsUnavailableError, Subject, Tally

TODAY, TOMORROW = DAY_MS - 1, DAY_MS


class SlowLedger:
    def __init__(self) -> None:
        self.reads = 0
        self.may_answer = asyncio.Event()
        self.is_away = False

    async def load_tally(self, subject: Subject, at_ms: int) -> Tally:
        self.reads += 1
        await self.may_answer.wait()
        if self.is_away:
            raise LimitsUnavailableError
        return Tally(requests=self.reads)


async def waiting(reader: TallyReader, subject: Subject, readers: int) -> list[asyncio.Task[Tally]]:
    tasks = [asyncio.create_task(reader.read(subject, TODAY)) for _ in range(readers)]
    await asyncio.sleep(0)
    return tasks


async def test_all_who_wait_for_a_tally_get_one_reading_and_the_next_gets_another() -> None:
    ledger, mine = SlowLedger(), token()
    reader = TallyReader(ledger.load_tally)
    tasks = await waiting(reader, mine, 50)
    ledger.may_answer.set()

    assert {tally.requests for tally in await asyncio.gather(*tasks)} == {1}
    assert (await reader.read(mine, TODAY)).requests == 2


async def test_a_client_that_hangs_up_takes_the_tally_from_nobody() -> None:
    ledger = SlowLedger()
    first, second = await waiting(TallyReader(ledger.load_tally), token(), 2)
    first.cancel()
    await asyncio.sleep(0)
    ledger.may_answer.set()

    assert (await second).requests == 1
    assert first.cancelled()


async def test_a_failure_is_told_to_all_who_wait_and_is_not_kept() -> None:
    ledger, mine = SlowLedger(), token()
    reader = TallyReader(ledger.load_tally)
    tasks = await waiting(reader, mine, 3)
    ledger.is_away = True
    ledger.may_answer.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    ledger.is_away = False

    assert [type(result) for result in results] == [LimitsUnavailableError] * 3
    assert (await reader.read(mine, TODAY)).requests == 2


async def test_a_failure_that_nobody_waits_for_any_more_is_silent() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    ledger = SlowLedger()
    (task,) = await waiting(TallyReader(ledger.load_tally), token(), 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    ledger.is_away = True
    ledger.may_answer.set()
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0)
    gc.collect()

    assert complaints == []


async def test_who_asks_after_midnight_does_not_get_yesterdays_tally() -> None:
    ledger, mine = SlowLedger(), token()
    reader = TallyReader(ledger.load_tally)
    (yesterdays,) = await waiting(reader, mine, 1)
    todays = asyncio.create_task(reader.read(mine, TOMORROW))
    await asyncio.sleep(0)
    ledger.may_answer.set()
    await asyncio.gather(yesterdays, todays)

    assert ledger.reads == 2


async def test_nobody_waits_for_a_database_that_says_nothing_and_its_answer_is_not_asked_for_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "PATIENCE_SECONDS", 0.01)
    ledger, mine = SlowLedger(), token()
    reader = TallyReader(ledger.load_tally)
    with pytest.raises(LimitsUnavailableError):
        await asyncio.wait_for(reader.read(mine, TODAY), 5)
    (task,) = await waiting(reader, mine, 1)
    ledger.may_answer.set()

    assert (await task).requests == 1
