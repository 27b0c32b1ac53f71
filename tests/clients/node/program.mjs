// A small program with OpenAI's SDK for Node: what it is told of the proxy is in the environment.
import OpenAI, { toFile } from "openai";

const client = new OpenAI();
const facts = {};

facts.models = (await client.models.list()).data.length;
facts.flagged = (await client.moderations.create({ input: "Something kind." })).results[0].flagged;
const embedded = await client.embeddings.create({ model: "text-embedding-3-small", input: ["one", "two"] });
facts.dimensions = embedded.data[1].embedding.length;

const file = await client.files.create({
  file: await toFile(Buffer.alloc(300_000, "x"), "notes.txt"),
  purpose: "assistants",
});
facts.fileBytes = file.bytes;
const store = await client.vectorStores.create({ name: "notes", file_ids: [file.id] });
facts.store = store.name;
facts.found = (await client.vectorStores.search(store.id, { query: "tokens" })).data.length;
facts.batch = (
  await client.batches.create({ input_file_id: file.id, endpoint: "/v1/responses", completion_window: "24h" })
).object;

const speech = await client.audio.speech.create({ model: "tts-1", voice: "alloy", input: "Hello" });
const audio = Buffer.from(await speech.arrayBuffer());
facts.audioBytes = audio.length;
facts.heard = (
  await client.audio.transcriptions.create({ model: "gpt-4o-transcribe", file: await toFile(audio, "a.mp3") })
).text;
facts.images = (await client.images.generate({ model: "gpt-image-1", prompt: "A leaf", n: 2 })).data.length;

const chat = { model: "gpt-4o-mini", messages: [{ role: "user", content: "Hi" }] };
facts.whole = (await client.chat.completions.create(chat)).choices[0].message.content;
facts.streamed = "";
for await (const chunk of await client.chat.completions.create({ ...chat, stream: true })) {
  facts.streamed += chunk.choices[0]?.delta?.content ?? "";
}
const events = [];
for await (const event of client.responses.stream({ model: "gpt-5-mini", input: "Hi" })) {
  events.push(event.type);
}
facts.lastEvent = events.at(-1);

try {
  await client.get("/organization/users");
} catch (error) {
  facts.refused = [error.status, error.code, error instanceof OpenAI.NotFoundError];
}
facts.deleted = (await client.files.delete(file.id)).deleted;
console.log(JSON.stringify(facts));
