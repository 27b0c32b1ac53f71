"""Price: what the tokens of one model cost, in whole numbers, so that a sum of costs is exact."""

from dataclasses import dataclass

PICOUSD_PER_MICROUSD = 1_000_000


@dataclass(frozen=True, slots=True)
class Rates:
    """Pico-USD per model token: 1_000_000 is one US dollar per million model tokens."""

    text_input: int
    cached_input: int
    cache_write: int
    audio_input: int
    cached_audio_input: int
    text_output: int
    audio_output: int

    @classmethod
    def of(
        cls,
        *,
        text_input: int,
        text_output: int,
        cached_input: int | None = None,
        cache_write: int | None = None,
        audio_input: int | None = None,
        cached_audio_input: int | None = None,
        audio_output: int | None = None,
    ) -> "Rates":
        """None: there is no such rate, and what it would be for costs what text costs, or uncached audio."""
        audio = text_input if audio_input is None else audio_input
        return cls(
            text_input=text_input,
            cached_input=text_input if cached_input is None else cached_input,
            cache_write=text_input if cache_write is None else cache_write,
            audio_input=audio,
            cached_audio_input=audio if cached_audio_input is None else cached_audio_input,
            text_output=text_output,
            audio_output=text_output if audio_output is None else audio_output,
        )

    @property
    def highest_input(self) -> int:
        return max(
            self.text_input, self.cached_input, self.cache_write, self.audio_input, self.cached_audio_input
        )

    @property
    def highest_output(self) -> int:
        return max(self.text_output, self.audio_output)


@dataclass(frozen=True, slots=True)
class Price:
    """Every cost is rounded up to a whole micro-USD."""

    rates: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()
    """Ascending: the rates of the whole request when it has more input tokens than that."""
    context_window: int | None = None
    max_output_tokens: int | None = None

    def cost_microusd(
        self,
        *,
        input_tokens: int,
        output_tokens: int,
        cached_tokens: int = 0,
        cache_write_tokens: int = 0,
        audio_input_tokens: int = 0,
        audio_output_tokens: int = 0,
        cached_audio_tokens: int | None = None,
    ) -> int:
        """Cached, written and audio tokens are parts of the input or output. A part larger than its whole is
        taken as the whole, a negative number as 0.

        Where it is not told which of the cached tokens are audio (None), as many as can be are taken as text:
        it saves less.
        """
        rates = self._rates_for(input_tokens)
        audio_input = _part(audio_input_tokens, input_tokens)
        text_input = max(0, input_tokens) - audio_input
        cached = _part(cached_tokens, input_tokens)
        told_audio = _part(cached_audio_tokens or 0, min(cached, audio_input))
        cached_text = min(cached - told_audio, text_input)
        cached_audio = cached - cached_text
        written = _part(cache_write_tokens, text_input - cached_text)
        audio_output = _part(audio_output_tokens, output_tokens)
        return _rounded_up(
            (text_input - cached_text - written) * rates.text_input
            + cached_text * rates.cached_input
            + written * rates.cache_write
            + (audio_input - cached_audio) * rates.audio_input
            + cached_audio * rates.cached_audio_input
            + (max(0, output_tokens) - audio_output) * rates.text_output
            + audio_output * rates.audio_output
        )

    def worst_case_microusd(self, *, input_tokens: int, output_tokens: int) -> int:
        """What no request with at most so many input and output tokens costs more than."""
        reachable = [self.rates, *(rates for above, rates in self.tiers if input_tokens > above)]
        return _rounded_up(
            max(0, input_tokens) * max(rates.highest_input for rates in reachable)
            + max(0, output_tokens) * max(rates.highest_output for rates in reachable)
        )

    def _rates_for(self, input_tokens: int) -> Rates:
        for above, rates in reversed(self.tiers):
            if input_tokens > above:
                return rates
        return self.rates


def _part(tokens: int, whole: int) -> int:
    return max(0, min(tokens, whole))


def _rounded_up(picousd: int) -> int:
    return -(-picousd // PICOUSD_PER_MICROUSD)
