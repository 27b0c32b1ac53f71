import asyncio
import signal
import sys

import pytest
from aiohttp import ClientSession


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_names_its_url_and_ends_cleanly_at_a_signal(number: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "llm_proxy_site.fake_upstream",
        "--bind",
        "127.0.0.1:0",
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    line = (await process.stdout.readline()).decode()
    base_url = line.removeprefix("Fake upstream on ").strip()
    async with ClientSession(headers={"Authorization": "Bearer sk-test"}) as session:
        status = (await session.get(f"{base_url}/models")).status
    process.send_signal(number)
    await process.communicate()

    assert status == 200
    assert process.returncode == 0
