from llm_proxy_site.chat.costs import usage_line
from llm_proxy_site.chat.session import Session
from proxy.metering.usage import Usage


def test_a_question_is_asked_with_all_that_was_said() -> None:
    session = Session("gpt-4o", "Be brief.")
    session.remember("One?", "One.")
    assert session.question("Two?") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "One."},
        {"role": "user", "content": "Two?"},
    ]


def test_what_was_not_answered_was_not_asked() -> None:
    session = Session("gpt-4o")
    session.remember("One?", "")
    assert session.question("Two?") == [{"role": "user", "content": "Two?"}]


def test_a_reset_forgets_what_was_said_and_nothing_else() -> None:
    session = Session("gpt-4o", "Be brief.", cost_microusd=5)
    session.remember("One?", "One.")
    session.reset()
    assert session == Session("gpt-4o", "Be brief.", cost_microusd=5)


def test_usage_is_one_line() -> None:
    usage = Usage(input_tokens=10, output_tokens=20)
    assert usage_line(usage, 1500, 3000) == "10 in, 20 out; 0.0015 USD, 0.003 USD in all"
    assert usage_line(usage, None, 0) == "10 in, 20 out; no known price"
    cached = Usage(input_tokens=10, output_tokens=20, cached_tokens=4, reasoning_tokens=5)
    assert usage_line(cached, None, 0) == "10 in (4 cached), 20 out (5 reasoning); no known price"
