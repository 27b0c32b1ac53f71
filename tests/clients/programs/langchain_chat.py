"""A chain of LangChain: a prompt, a model, a parser; whole, streamed, several at a time; and embeddings."""

import json

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

prompt = ChatPromptTemplate.from_messages([("system", "You are brief."), ("user", "Tell me of {topic}.")])
chain = prompt | ChatOpenAI(model="gpt-4o-mini") | StrOutputParser()
responses = ChatOpenAI(model="gpt-5-mini", use_responses_api=True)
# The length check would fetch a tokenizer from elsewhere.
embeddings = OpenAIEmbeddings(model="text-embedding-3-small", check_embedding_ctx_length=False)

facts = {
    "whole": chain.invoke({"topic": "leaves"}),
    "streamed": "".join(chain.stream({"topic": "leaves"})),
    "batch": chain.batch([{"topic": "leaves"}, {"topic": "trees"}]),
    "responses": responses.invoke("Hello").text,
    "dimensions": [len(vector) for vector in embeddings.embed_documents(["one", "two"])],
}
print(json.dumps(facts))
