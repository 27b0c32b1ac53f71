"""An agent of the OpenAI Agents SDK: a run, and a streamed one."""

import asyncio
import json

from agents import Agent, Runner

agent = Agent(name="Gardener", instructions="You are brief.", model="gpt-5-mini")


async def main() -> None:
    whole = await Runner.run(agent, "What withers?")
    streamed = Runner.run_streamed(agent, "What withers?")
    events = [event.type async for event in streamed.stream_events()]
    facts = {"whole": whole.final_output, "streamed": streamed.final_output, "events": len(events)}
    print(json.dumps(facts))


asyncio.run(main())
