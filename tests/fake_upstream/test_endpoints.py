import base64

import openai
import pytest

from llm_proxy_site.fake_upstream.patterns import pattern

from .upstream import Sdk, Upstream


async def test_a_response_is_answered_with_its_usage(client: Sdk) -> None:
    response = await client.responses.create(
        model="gpt-5", input="two words", instructions="be brief", reasoning={"effort": "low"}
    )

    assert response.status == "completed"
    assert response.output_text == "All tokens wither in time; a café serves"
    assert response.usage.input_tokens == 4
    assert response.usage.output_tokens == 8 + 16
    assert response.usage.output_tokens_details.reasoning_tokens == 16


async def test_a_response_stream_is_numbered_and_ends_completed(client: Sdk) -> None:
    stream = await client.responses.create(model="gpt-5", input="two words", stream=True)
    events = [event async for event in stream]

    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 8,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].response.usage.total_tokens == 10


async def test_a_response_that_is_too_long_ends_incomplete(client: Sdk) -> None:
    stream = await client.responses.create(model="gpt-5", input="hi", stream=True, max_output_tokens=2)
    last = [event async for event in stream][-1]

    assert last.type == "response.incomplete"
    assert last.response.incomplete_details.reason == "max_output_tokens"


async def test_a_response_stream_has_event_lines_and_no_done(upstream: Upstream) -> None:
    response = await upstream.post("responses", b'{"model":"gpt-5","input":"hi","stream":true}')
    body = await response.read()

    assert body.startswith(b'event: response.created\ndata: {"type":"response.created","sequence_number":0,')
    assert b"[DONE]" not in body


async def test_legacy_completions_are_served_whole_and_streamed(client: Sdk) -> None:
    whole = await client.completions.create(model="gpt-3.5-turbo-instruct", prompt="one two", max_tokens=3)
    stream = await client.completions.create(
        model="gpt-3.5-turbo-instruct",
        prompt=["one two", "three"],
        max_tokens=3,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]

    assert whole.usage.total_tokens == 5
    assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == whole.choices[0].text
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].usage.prompt_tokens == 3


async def test_embeddings_are_the_same_in_both_encodings(client: Sdk) -> None:
    asked = {"model": "text-embedding-3-small", "input": ["one two", "three"], "dimensions": 48}

    decoded = await client.embeddings.create(**asked)
    floats = await client.embeddings.create(**asked, encoding_format="float")

    assert len(floats.data) == 2
    assert len(floats.data[0].embedding) == 48
    assert sum(number**2 for number in floats.data[0].embedding) == pytest.approx(1.0, abs=1e-5)
    assert decoded.data[1].embedding == floats.data[1].embedding
    assert floats.data[0].embedding != floats.data[1].embedding
    assert floats.usage.total_tokens == 3


async def test_a_list_of_integers_is_one_input(client: Sdk) -> None:
    embeddings = await client.embeddings.create(model="text-embedding-3-small", input=[1, 2, 3])

    assert len(embeddings.data) == 1
    assert embeddings.usage.prompt_tokens == 3


async def test_models_are_listed_and_found(client: Sdk) -> None:
    names = [model.id async for model in client.models.list()]

    assert "gpt-4o-mini" in names
    assert (await client.models.retrieve("gpt-4o-mini")).object == "model"


async def test_an_unknown_model_is_not_found(client: Sdk) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await client.models.retrieve("gpt-nothing")

    assert caught.value.code == "model_not_found"


async def test_an_unknown_path_is_not_found(upstream: Upstream) -> None:
    response = await upstream.post("nothing", b"{}")
    answer = await response.json()

    assert response.status == 404
    assert answer["error"]["message"] == "Invalid URL (POST /v1/nothing)"


async def test_speech_is_binary_of_the_size_that_was_asked_for(client: Sdk) -> None:
    speech = await client.audio.speech.create(
        model="tts-1",
        voice="alloy",
        input="hello",
        response_format="wav",
        extra_headers={"x-fake-size-bytes": "100001"},
    )

    assert speech.response.headers["content-type"] == "audio/wav"
    assert speech.content == b"".join(pattern(100_001))


async def test_speech_events_end_with_usage(upstream: Upstream) -> None:
    asked = b'{"model":"gpt-4o-mini-tts","input":"one two","voice":"alloy","stream_format":"sse"}'
    events = (await (await upstream.post("audio/speech", asked, chunks=2)).read()).split(b"\n\n")

    assert events[0].startswith(b'data: {"type":"speech.audio.delta","audio":"')
    assert events[-2].endswith(b'"usage":{"input_tokens":2,"output_tokens":2,"total_tokens":4}}')


async def test_transcriptions_are_metered_by_model(client: Sdk) -> None:
    file = ("speech.wav", b"RIFF....")

    timed = await client.audio.transcriptions.create(model="whisper-1", file=file)
    counted = await client.audio.transcriptions.create(model="gpt-4o-transcribe", file=file)

    assert timed.usage.seconds == 3
    assert counted.usage.output_tokens == 8


async def test_a_transcription_streams(client: Sdk) -> None:
    stream = await client.audio.transcriptions.create(
        model="gpt-4o-transcribe", file=("speech.wav", b"RIFF...."), stream=True
    )
    events = [event async for event in stream]

    assert [event.type for event in events] == ["transcript.text.delta"] * 8 + ["transcript.text.done"]


async def test_a_transcription_without_file_is_refused(upstream: Upstream) -> None:
    response = await upstream.post("audio/transcriptions", b"{}")
    answer = await response.json()

    assert answer["error"]["param"] == "file"


async def test_images_are_made_whole_and_streamed(client: Sdk) -> None:
    whole = await client.images.generate(model="gpt-image-1", prompt="one pixel")
    stream = await client.images.generate(
        model="gpt-image-1", prompt="one pixel", stream=True, partial_images=2
    )
    events = [event async for event in stream]

    assert base64.b64decode(whole.data[0].b64_json).startswith(b"\x89PNG")
    assert whole.usage.total_tokens == 2 + 272
    assert [event.type for event in events] == [
        *["image_generation.partial_image"] * 2,
        "image_generation.completed",
    ]
    assert events[-1].usage.total_tokens == 2 + 272


async def test_moderations_flag_nothing(client: Sdk) -> None:
    moderation = await client.moderations.create(input=["kind", "words"])

    assert [result.flagged for result in moderation.results] == [False, False]
