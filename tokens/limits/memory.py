"""The limits of one process, counted in its memory. Exact: each step runs on the event loop without a pause.

While a subject's account is here it is the truth; the database follows. It is built from the ledger, and may
only be forgotten when no request of it runs and nothing of it is unwritten: the next is then built from the
ledger's sum. `max_accounts` must be well above the directory's size.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from uuid import UUID

from tokens.limits.account import Account
from tokens.limits.periods import periods_at
from tokens.limits.reading import TallyReader
from tokens.limits.values import Charge, Counters, Estimate, Lease, LoadTally, Subject
from tokens.limits.verdict import refusal

MAX_PASSED_OVER = 8
"""Accounts in use that one step looks behind for some to forget."""


class MemoryStore:
    is_away = False

    def __init__(
        self,
        load_tally: LoadTally,
        *,
        max_accounts: int,
        lease_seconds: float = 15,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tallies = TallyReader(load_tally)
        self._max_accounts = max_accounts
        self._lease_ms = int(lease_seconds * 1000)
        self._clock = clock
        self._accounts: OrderedDict[UUID, Account] = OrderedDict()
        self._held: dict[UUID, _Held] = {}
        self._corrections = 0

    async def acquire(self, request_id: UUID, subjects: tuple[Subject, ...], estimate: Estimate) -> Lease:
        if not subjects:
            return Lease.of_nothing(request_id, estimate, self._now_ms())
        accounts = self._find(subjects) or await self._open(subjects)
        now_ms = self._now_ms()
        periods = periods_at(now_ms)
        fits = True
        for account, subject in zip(accounts, subjects, strict=True):
            account.roll(periods)
            account.forget_old(now_ms)
            fits = fits and account.fits(subject, estimate)
        if not fits:
            self._refuse(subjects, accounts, estimate, now_ms)
        lease = Lease(request_id, subjects, now_ms, periods, estimate, estimate.microusd)
        admissions, counters = [], []
        for account, subject in zip(accounts, subjects, strict=True):
            account.requests += 1
            account.unwritten += 1
            account.active += 1
            account.reserve(periods, estimate.microusd)
            admissions.append(account.admit(now_ms, account.model_tokens_of(subject, estimate)))
            counters.append(account.counters())
            self._accounts.move_to_end(subject.id)
        lease.notes = tuple(admissions)
        lease.model_tokens = tuple(admission.model_tokens for admission in admissions)
        lease.counters = tuple(counters)
        self._held[request_id] = _Held(lease, accounts, now_ms + self._lease_ms)
        return lease

    async def settle(self, lease: Lease, charge: Charge) -> None:
        if lease.is_settled:
            return
        lease.is_settled = True
        held = self._held.pop(lease.id, None)
        for subject, admission in zip(lease.subjects, lease.notes, strict=True):
            account = self._accounts.get(subject.id)
            if account is None:
                continue
            if held is not None:  # if not, it ran out, and what it had reserved was given back
                account.release(lease)
            account.correct(admission, charge.model_tokens)
            account.spend(lease, charge.microusd)

    async def renew(self, leases: list[Lease]) -> list[Lease]:
        over = []
        for lease in leases:
            held = self._held.get(lease.id) or await self._hold_again(lease)
            if held is None:
                continue
            now_ms = self._now_ms()
            periods = periods_at(now_ms)
            held.expires_at_ms = now_ms + self._lease_ms
            grown = max(0, lease.used_microusd - lease.reserved_microusd)
            lease.reserved_microusd += grown
            for account in held.accounts:
                account.roll(periods)
                account.reserve(lease.periods, grown)
            outgrown = lease.reserved_microusd > lease.estimate.microusd
            if any(
                account.is_used_up(subject.limits, lease.periods, outgrown)
                for account, subject in zip(held.accounts, lease.subjects, strict=True)
            ):
                over.append(lease)
        return over

    async def sweep(self) -> int:
        now_ms = self._now_ms()
        dead = [held for held in self._held.values() if held.expires_at_ms <= now_ms]
        for held in dead:
            del self._held[held.lease.id]
            for account in held.accounts:
                account.release(held.lease)
        return len(dead)

    async def standing(self, subjects: tuple[Subject, ...]) -> tuple[Counters, ...]:
        accounts = self._find(subjects) or await self._open(subjects)
        now_ms = self._now_ms()
        periods = periods_at(now_ms)
        for account in accounts:
            account.roll(periods)
            account.forget_old(now_ms)
        return tuple(account.counters() for account in accounts)

    def written(self, counts: dict[UUID, int]) -> None:
        for subject_id, count in counts.items():
            account = self._accounts.get(subject_id)
            if account is not None:
                account.unwritten = max(0, account.unwritten - count)
        self._forget_oldest(room_for=0)

    def corrected(self, subjects: tuple[Subject, ...], at_ms: int, microusd: int) -> None:
        self._corrections += 1
        for subject in subjects:
            account = self._accounts.get(subject.id)
            if account is not None:
                account.correct_spent(periods_at(at_ms), microusd)

    async def flush(self) -> None:
        pass

    async def aclose(self) -> None:
        pass

    def _refuse(
        self, subjects: tuple[Subject, ...], accounts: list[Account], estimate: Estimate, now_ms: int
    ) -> None:
        reached = refusal(
            subjects,
            tuple(account.counters() for account in accounts),
            tuple(
                account.waits(subject, estimate, now_ms)
                for account, subject in zip(accounts, subjects, strict=True)
            ),
            estimate,
            now_ms,
        )
        assert reached is not None, "what does not fit has a reason"
        raise reached

    async def _hold_again(self, lease: Lease) -> "_Held | None":
        """For a lease that ran out while its request went on, as after a pause of the whole process."""
        accounts = self._find(lease.subjects) or await self._open(lease.subjects)
        if lease.is_settled or lease.id in self._held:
            return self._held.get(lease.id)
        for account in accounts:
            account.active += 1
            account.reserve(lease.periods, lease.reserved_microusd)
        held = self._held[lease.id] = _Held(lease, accounts, 0)
        return held

    def _find(self, subjects: tuple[Subject, ...]) -> list[Account] | None:
        accounts = []
        for subject in subjects:
            account = self._accounts.get(subject.id)
            if account is None:
                return None
            accounts.append(account)
        return accounts

    async def _open(self, subjects: tuple[Subject, ...]) -> list[Account]:
        while (accounts := self._find(subjects)) is None:
            for subject in subjects:
                if subject.id not in self._accounts:
                    await self._open_account(subject)
        return accounts

    async def _open_account(self, subject: Subject) -> None:
        at_ms, corrections = self._now_ms(), self._corrections
        tally = await self._tallies.read(subject, at_ms)
        if subject.id in self._accounts:  # another request has opened it meanwhile
            return
        if corrections != self._corrections:  # the tally may not have them in it: it is read again
            return
        periods = periods_at(self._now_ms())
        if periods == periods_at(at_ms):  # if not, it was midnight: what was spent is another day's
            self._forget_oldest(room_for=1)
            self._accounts[subject.id] = Account(tally, periods)

    def _forget_oldest(self, *, room_for: int) -> None:
        passed_over = 0
        while len(self._accounts) + room_for > self._max_accounts and passed_over < MAX_PASSED_OVER:
            subject_id, account = next(iter(self._accounts.items()))
            if account.unwritten or account.active:
                self._accounts.move_to_end(subject_id)
                passed_over += 1
            else:
                del self._accounts[subject_id]

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


class _Held:
    """What one lease holds, and of which accounts."""

    __slots__ = ("accounts", "expires_at_ms", "lease")

    def __init__(self, lease: Lease, accounts: list[Account], expires_at_ms: int) -> None:
        self.lease = lease
        self.accounts = accounts
        self.expires_at_ms = expires_at_ms
