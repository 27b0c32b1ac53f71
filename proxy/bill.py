"""What one request may cost, what it is known to cost while it runs, and what it has cost.

The worst case holds whatever upstream answers: a byte of input is at most one model token, an input at most
the model's context, and an output at most what the client asks for, or what the model can.
"""

from collections.abc import Callable

from uuid_utils.compat import uuid7

from projects.models import UnpricedPolicy
from proxy.endpoints import Endpoint
from proxy.errors import Forbidden
from proxy.facts import Facts
from proxy.metering.background import Work
from proxy.metering.usage import Usage
from tokens.grant import Grant
from tokens.limits.values import NOTHING, Charge, Estimate
from usage.costs import BYTES_PER_MODEL_TOKEN as BYTES_PER_MODEL_TOKEN
from usage.costs import OUTPUT_TOKENS_PER_SECOND, SPOKEN_TOKENS_PER_MODEL_TOKEN, cost_of
from usage.entry import Finished, UsageEntry
from usage.outcomes import CostSource, UsageSource
from usage.price_book import PriceBook
from usage.prices import Price

UNKNOWN_MAX_OUTPUT_TOKENS = 16_384
"""For a model of which nothing is known."""
SLOWEST_SPEECH = 2
"""Times as long as usual."""


class Bill:
    def __init__(
        self, grant: Grant, endpoint: Endpoint, method: str, facts: Facts, body_bytes: int, prices: PriceBook
    ) -> None:
        self.may_cost = endpoint.may_cost(method)
        self._grant = grant
        self._facts = facts
        self._body_bytes = body_bytes
        self._prices = prices
        self._has_output = endpoint.usage != "input"
        self._is_metered = endpoint.is_metered
        self._is_spoken = endpoint.usage == "speech"
        self._price = prices.find(facts.model, facts.service_tier) if self.may_cost else None

    @property
    def choices(self) -> int:
        """That were asked for, at least, as far as that is known."""
        return self._facts.choices

    def estimate(self) -> Estimate:
        """The worst case. Raises ProxyError where the project refuses models without a price."""
        if not self.may_cost:
            return NOTHING
        if not self._has_price and self._grant.unpriced_policy is UnpricedPolicy.REFUSE:
            raise _unpriced(self._facts.model)
        if not self._grant.subjects:
            return NOTHING
        return Estimate(
            model_tokens=self._likely_input_tokens() + self._most_output_tokens(),
            microusd=self._worst_case_microusd() if self._grant.has_budget else 0,
            is_output_stated=self._facts.max_output_tokens is not None or not self._has_output,
        )

    def used_microusd(self, pieces: int, audio_tokens: int = 0) -> int:
        """What a stream has cost so far that has brought so many pieces of output, and audio besides."""
        if self._price is None:
            return 0
        return self._price.cost_microusd(
            input_tokens=self._likely_input_tokens(),
            output_tokens=self._output_in(pieces) + audio_tokens,
            audio_output_tokens=audio_tokens,
        )

    def free(self, entry: UsageEntry) -> Charge:
        """Upstream did no work for it."""
        entry.cost_source, entry.cost_microusd = CostSource.FREE, 0
        return Charge()

    def close(
        self,
        entry: UsageEntry,
        usage: Usage | None,
        *,
        is_whole: bool = True,
        pieces: int,
        bytes_heard: int,
        silent_seconds: float,
        body_bytes: int = 0,
        answering_model: Callable[[], str] = lambda: "",
    ) -> Charge:
        """Upstream has worked, and reported `usage` or nothing: then what passed is a measure, and how long
        nothing did. Where the answer is not whole, what it reported may not be all. `body_bytes` are those
        that have come, of a body that did not say; `answering_model` tells which model the answer names.

        Usage and cost are noted in the entry.
        """
        if not self.may_cost:
            return self.free(entry)
        self._body_bytes = self._body_bytes or body_bytes
        if usage is None and self._price is None and self._is_metered:
            self._note_model(entry, answering_model())
        if usage is not None:
            _note_reported(entry, usage)
            if usage.input_tokens is None and usage.output_tokens is not None:
                entry.usage_source = UsageSource.PARTIAL
                entry.input_tokens = self._estimated_input_tokens(is_whole=is_whole)
            if not is_whole:
                entry.usage_source = UsageSource.PARTIAL
                entry.output_tokens = max(entry.output_tokens or 0, self._output_in(pieces))
        elif self._has_price or (self._is_metered and (pieces or self._is_spoken)):
            # Without a price, too, by what can be counted: of a picture the bytes say nothing.
            self._note_estimated(entry, pieces, bytes_heard, silent_seconds, is_whole=is_whole)
        has_tokens = entry.input_tokens is not None or entry.output_tokens is not None
        price = self._price_of(entry) if has_tokens else None
        if price is not None:
            entry.cost_source, entry.cost_microusd = (
                CostSource.PRICE,
                cost_of(entry, price, usage.cached_audio_tokens if usage is not None else None),
            )
        elif self._grant.unpriced_policy is UnpricedPolicy.FLAT:
            entry.cost_source, entry.cost_microusd = CostSource.FLAT, self._grant.flat_price_microusd
        else:
            entry.cost_source, entry.cost_microusd = CostSource.UNPRICED, None
        return Charge(
            model_tokens=(entry.input_tokens or 0) + (entry.output_tokens or 0),
            microusd=entry.cost_microusd or 0,
        )

    @property
    def _has_price(self) -> bool:
        return self._price is not None and self._is_metered

    def _note_model(self, entry: UsageEntry, model: str) -> None:
        """Of an answer to a request whose own model was not seen, or has no price."""
        entry.model = entry.model or model
        self._price = self._prices.find(model, self._facts.service_tier)

    def _price_of(self, entry: UsageEntry) -> Price | None:
        """By the tier that was used, and by the name that was asked for, else the one that answered. If
        neither has a price any more: by what it was when the request began.
        """
        asked_for = self._prices.find(self._facts.model, entry.service_tier)
        return asked_for or self._prices.find(entry.model, entry.service_tier) or self._price

    def _note_estimated(
        self, entry: UsageEntry, pieces: int, bytes_heard: int, silent_seconds: float, *, is_whole: bool
    ) -> None:
        if not self._has_output:
            output_tokens = 0
        elif self._facts.is_background:
            output_tokens = self._most_output_tokens()  # it goes on without us
        else:
            output_tokens = self._likely_output_tokens(
                pieces, bytes_heard, silent_seconds, is_whole=is_whole, is_stream=entry.is_stream
            )
        entry.usage_source = UsageSource.ESTIMATED
        entry.service_tier = self._facts.service_tier
        entry.input_tokens = self._estimated_input_tokens(is_whole=is_whole)
        entry.output_tokens = min(output_tokens, max(pieces, self._most_output_tokens()))
        if self._is_spoken:
            entry.audio_output_tokens = entry.output_tokens

    def _likely_output_tokens(
        self, pieces: int, bytes_heard: int, silent_seconds: float, *, is_whole: bool, is_stream: bool
    ) -> int:
        """By what passed. Of what broke off also by the time in which nothing did: there may have been
        reasoning that nobody saw. Hanging up later is never cheaper.
        """
        if self._is_spoken:
            return self._spoken_tokens()
        by_time = int(silent_seconds * OUTPUT_TOKENS_PER_SECOND) * self._facts.choices
        if is_whole:
            passed = pieces or bytes_heard // BYTES_PER_MODEL_TOKEN
            return passed if pieces or bytes_heard else by_time
        if is_stream or self._facts.is_stream:
            return pieces + by_time
        return max(bytes_heard // BYTES_PER_MODEL_TOKEN, by_time)

    def _estimated_input_tokens(self, *, is_whole: bool) -> int:
        """The most where a client could else leave before the truth is known: what upstream adds to an input
        is not in its size.
        """
        if self._price is None:
            return self._likely_input_tokens()
        most = self._most_input_tokens(self._price)
        may_hide = self._facts.has_input_elsewhere and self._grant.has_budget and not is_whole
        if self._facts.is_background or may_hide:
            return most
        return max(1, min(self._likely_input_tokens(), most))

    def _output_in(self, pieces: int) -> int:
        """At least; the first and the last piece of every choice are empty."""
        return max(0, pieces - 2 * self._facts.choices)

    def _worst_case_microusd(self) -> int:
        if not self._has_price:
            is_flat = self._grant.unpriced_policy is UnpricedPolicy.FLAT
            return self._grant.flat_price_microusd if is_flat else 0
        assert self._price is not None
        return self._price.worst_case_microusd(
            input_tokens=self._most_input_tokens(self._price), output_tokens=self._most_output_tokens()
        )

    def _likely_input_tokens(self) -> int:
        return max(1, self._body_bytes // BYTES_PER_MODEL_TOKEN)

    def _most_input_tokens(self, price: Price) -> int:
        if price.context_window is None:
            return self._body_bytes
        most = price.context_window * self._facts.inputs
        return most if self._facts.has_input_elsewhere else min(self._body_bytes, most)

    def _spoken_tokens(self) -> int:
        """Of the text, read aloud: upstream reads all of it, whoever listens."""
        text_tokens = max(1, (self._facts.spoken_bytes or self._body_bytes) // BYTES_PER_MODEL_TOKEN)
        return text_tokens * SPOKEN_TOKENS_PER_MODEL_TOKEN

    def _most_output_tokens(self) -> int:
        if not self._has_output:
            return 0
        if self._is_spoken:
            return SLOWEST_SPEECH * self._spoken_tokens()
        if self._facts.max_output_tokens is not None:
            return self._facts.max_output_tokens
        price = self._price
        most = (price.max_output_tokens or price.context_window) if price is not None else None
        return (most or UNKNOWN_MAX_OUTPUT_TOKENS) * self._facts.choices


def finished(work: Work, usage: Usage | None) -> Finished | None:
    """What finished work is to be charged; None where that cannot be said."""
    if usage is not None:
        used = UsageEntry(id=uuid7(), started_at=0, method="", path="")
        _note_reported(used, usage)
        return Finished(used, usage.cached_audio_tokens, work.is_batch)
    if work.is_batch or not work.is_broken_off:
        return None
    return Finished(_to_be_estimated() if work.is_cancelled else None)


def _to_be_estimated() -> UsageEntry:
    """Of work that was cancelled: upstream has worked until then, and tells nothing."""
    used = UsageEntry(id=uuid7(), started_at=0, method="", path="")
    used.usage_source = UsageSource.ESTIMATED
    return used


def _note_reported(entry: UsageEntry, usage: Usage) -> None:
    entry.usage_source = UsageSource.UPSTREAM
    entry.model = usage.model or entry.model
    entry.service_tier = usage.service_tier
    entry.input_tokens, entry.output_tokens = usage.input_tokens, usage.output_tokens
    entry.cached_tokens, entry.reasoning_tokens = usage.cached_tokens, usage.reasoning_tokens
    entry.cache_write_tokens = usage.cache_write_tokens
    entry.audio_input_tokens, entry.audio_output_tokens = usage.audio_input_tokens, usage.audio_output_tokens
    entry.image_input_tokens, entry.image_output_tokens = usage.image_input_tokens, usage.image_output_tokens
    entry.audio_seconds = usage.audio_seconds


def _unpriced(model: str) -> Forbidden:
    error = Forbidden(
        "model_unpriced",
        "The project of this access token refuses models without a known price, and this request's has none.",
    )
    error.param = "model"
    return error
