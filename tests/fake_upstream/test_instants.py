import time

import pytest

from llm_proxy_site.fake_upstream.instants import BLANK, Delays, stamped

from .upstream import Upstream


async def test_words_say_when_they_were_sent(upstream: Upstream) -> None:
    began = time.monotonic()
    response = await upstream.chat(stream=True, chunks=3, chunk_delay_ms=20, clock=1)
    body = await response.read()
    took = time.monotonic() - began

    first, second, third = Delays().feed(body)

    assert took > first
    assert first - second >= 0.02
    assert second - third >= 0.02


@pytest.mark.parametrize("cut", range(60))
def test_a_word_is_read_however_its_bytes_are_cut(cut: int) -> None:
    data = stamped(f"data: {BLANK}\n\n".encode() * 2)
    delays = Delays()

    seen = [*delays.feed(data[:cut]), *delays.feed(data[cut:])]

    assert len(seen) == 2
    assert all(0 <= delay < 1 for delay in seen)
