"""LiteLLM as a client: chat whole and streamed, embeddings, responses."""

import json

import litellm

messages = [{"role": "user", "content": "Hi"}]
chat = litellm.completion(model="openai/gpt-4o-mini", messages=messages)
stream = litellm.completion(model="openai/gpt-4o-mini", messages=messages, stream=True)
embedding = litellm.embedding(model="openai/text-embedding-3-small", input=["one"])
facts = {
    "whole": chat.choices[0].message.content,
    "total_tokens": chat.usage.total_tokens,
    "streamed": "".join(chunk.choices[0].delta.content or "" for chunk in stream),
    "dimensions": len(embedding.data[0]["embedding"]),
    "responses": litellm.responses(model="openai/gpt-5-mini", input="Hi").status,
}
print(json.dumps(facts))
