from aiohttp import ClientSession

from llm_proxy_site.bench.cases import CASES, PATH
from llm_proxy_site.fake_upstream import create_app, running
from llm_proxy_site.processes import running as running_child


async def test_a_stream_passes_unchanged_but_for_the_key() -> None:
    async with running(create_app()) as upstream, ClientSession() as session:
        with running_child(
            *("-m", "llm_proxy_site.bench.passthrough", "--upstream", upstream, "--bind", "127.0.0.1:0")
        ) as (_, line):
            direct = await _ask(session, upstream, "sk-test")
            passed = await _ask(session, line.split()[-1], "not-a-key")

    assert passed == direct
    assert direct.endswith(b"data: [DONE]\n\n")


async def _ask(session: ClientSession, base_url: str, key: str) -> bytes:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    async with session.post(base_url + PATH, data=CASES["stream-1"].body, headers=headers) as response:
        return await response.read()
