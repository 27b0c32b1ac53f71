"""A small library of documents with OpenAI's SDK: what it is told of the proxy is in the environment."""

import json
import time

from openai import OpenAI

client = OpenAI()
facts = {}

facts["models"] = len(client.models.list().data)
facts["flagged"] = client.moderations.create(input="Something kind.").results[0].flagged
facts["dimensions"] = len(
    client.embeddings.create(model="text-embedding-3-small", input=["one", "two"]).data[1].embedding
)

document = client.files.create(file=("notes.txt", b"All tokens wither.\n" * 1000), purpose="assistants")
facts["file_bytes"] = document.bytes
store = client.vector_stores.create(name="notes", metadata={"shelf": "3"})
client.vector_stores.files.create_and_poll(vector_store_id=store.id, file_id=document.id)
facts["store"] = store.name
facts["found"] = [found.id for found in client.vector_stores.search(store.id, query="tokens")] != []

lines = [
    {"custom_id": str(n), "method": "POST", "url": "/v1/responses", "body": {"model": "gpt-4o-mini"}}
    for n in range(3)
]
batch_file = client.files.create(
    file=("batch.jsonl", "\n".join(map(json.dumps, lines)).encode()), purpose="batch"
)
batch = client.batches.create(input_file_id=batch_file.id, endpoint="/v1/responses", completion_window="24h")
while client.batches.retrieve(batch.id).status != "completed":
    time.sleep(0.1)
facts["batches"] = [each.object for each in client.batches.list()]

upload = client.uploads.create(bytes=6, filename="a.txt", mime_type="text/plain", purpose="assistants")
part = client.uploads.parts.create(upload.id, data=b"abcdef")
facts["upload"] = client.uploads.complete(upload.id, part_ids=[part.id]).status

with client.audio.speech.with_streaming_response.create(
    model="tts-1", voice="alloy", input="Hello"
) as speech:
    audio = b"".join(speech.iter_bytes())
facts["audio_bytes"] = len(audio)
facts["heard"] = client.audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.mp3", audio)).text
heard = client.audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.mp3", audio), stream=True)
facts["heard_events"] = [event.type for event in heard][-1]
facts["translated"] = client.audio.translations.create(model="whisper-1", file=("a.mp3", audio)).text

facts["images"] = len(client.images.generate(model="gpt-image-1", prompt="A leaf", n=2).data)
edited = client.images.edit(
    model="gpt-image-1", image=("a.png", b"\x89PNG\r\n"), prompt="Autumn", stream=True
)
facts["edited"] = [event.type for event in edited][-1]

with client.responses.stream(
    model="gpt-5-mini", input="Say something", reasoning={"effort": "low"}
) as stream:
    facts["deltas"] = sum(event.type == "response.output_text.delta" for event in stream)
    facts["response_tokens"] = stream.get_final_response().usage.total_tokens
chat = client.chat.completions.create(
    model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}], stream=True
)
facts["said"] = "".join(chunk.choices[0].delta.content or "" for chunk in chat if chunk.choices)

facts["deleted"] = client.vector_stores.delete(store.id).deleted and client.files.delete(document.id).deleted
print(json.dumps(facts))
