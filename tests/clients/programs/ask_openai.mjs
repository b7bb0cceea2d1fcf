// The official openai SDK. Lines 6 and 7 run the same program.

import OpenAI, { toFile } from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

import { raised, serve, SUNNY, WEATHER } from "./serving.mjs";

const Person = z.object({ name: z.string(), age: z.number() });
const TOOLS = [{ type: "function", function: WEATHER }];

/** Returns a client as the request wants it; the address is in the environment, as the SDK has it. */
function clientOf({ key = process.env.OPENAI_API_KEY, retries = 0, timeout_s = 60, headers }) {
  return new OpenAI({ apiKey: key, maxRetries: retries, timeout: timeout_s * 1000, defaultHeaders: headers });
}

/** Returns the body of a call: what the SDK does not know goes beside what it does. */
function body({ model, say, tools, options, extra }) {
  const messages = [{ role: "user", content: say }];
  return { model, messages, ...(tools && { tools: TOOLS }), ...options, ...extra };
}

/** Returns what the tests look at. */
function shown({ choices, usage }) {
  return {
    choices: choices.map(({ message, finish_reason, logprobs }) => ({
      text: message.content,
      reasoning: message.reasoning_content ?? null,
      finish_reason,
      calls: (message.tool_calls ?? []).map((call) => ({ id: call.id, ...call.function })),
      tokens: (logprobs?.content ?? []).map((score) => score.token),
    })),
    usage: usage && [usage.prompt_tokens, usage.completion_tokens],
  };
}

async function chat(request) {
  return shown(await clientOf(request).chat.completions.create(body(request)));
}

/** Asks for a stream; the SDK's own helper joins it. */
async function stream(request) {
  const pieces = [];
  let reasoning = "";
  try {
    const events = clientOf(request).chat.completions.stream({
      ...body(request),
      stream_options: { include_usage: true },
    });
    for await (const { choices } of events) {
      if (choices[0]?.delta.content) pieces.push(choices[0].delta.content);
      reasoning += choices[0]?.delta.reasoning_content ?? "";
    }
    const answer = shown(await events.finalChatCompletion());
    answer.choices[0].reasoning = reasoning || null; // the helper keeps the last piece only
    return { ...answer, pieces: pieces.length };
  } catch (error) {
    return raised(error, pieces.join(""));
  }
}

/** Asks, answers the call that comes, and asks again. */
async function use_tool(request) {
  const client = clientOf(request);
  const asked = body(request);
  const { message } = (await client.chat.completions.create(asked)).choices[0];
  asked.messages.push(message, { role: "tool", tool_call_id: message.tool_calls[0].id, content: SUNNY });
  return shown(await client.chat.completions.create(asked));
}

/** Asks for an answer in a form. */
async function parse(request) {
  const form = { response_format: zodResponseFormat(Person, "person") };
  const answer = await clientOf(request).chat.completions.parse({ ...body(request), ...form });
  return { parsed: answer.choices[0].message.parsed };
}

/** Lists all models, and retrieves one. */
async function models(request) {
  const client = clientOf(request);
  const listed = [];
  for await (const model of client.models.list()) listed.push(model.id);
  return { listed, one: (await client.models.retrieve(request.model)).id };
}

/** Asks for vectors; `options` may say in which encoding, else it is the SDK's choice. */
async function embed(request) {
  const { model, texts, options } = request;
  const { data, usage } = await clientOf(request).embeddings.create({ model, input: texts, ...options });
  return { vectors: data.map((row) => [...row.embedding]), tokens: usage.prompt_tokens };
}

/** Speaks a text, writes down what was said, whole and as a stream. */
async function speak({ voice, ear, say }) {
  const client = clientOf({});
  const form = { voice: "alloy", response_format: "wav" };
  const speech = await client.audio.speech.create({ model: voice, input: say, ...form });
  const sound = Buffer.from(await speech.arrayBuffer());
  const asked = async () => ({ model: ear, file: await toFile(sound, "speech.wav") });
  const { text } = await client.audio.transcriptions.create(await asked());
  const events = [];
  for await (const event of await client.audio.transcriptions.create({ ...(await asked()), stream: true })) events.push(event);
  const deltas = events.filter(({ type }) => type === "transcript.text.delta").map(({ delta }) => delta);
  return { sound: sound.toString("base64"), text, deltas, done: events.at(-1).text };
}

/** Draws a picture. */
async function draw({ model, say, options }) {
  return pictures(await clientOf({}).images.generate({ model, prompt: say, ...options }));
}

/** Draws a picture and shows what is there before it is finished. */
async function draw_stream({ model, say, options }) {
  const events = [];
  const asked = { model, prompt: say, stream: true, ...options };
  for await (const { type, b64_json } of await clientOf({}).images.generate(asked)) events.push([type, b64_json]);
  return { events };
}

/** Changes a picture. */
async function edit({ model, say, picture, options }) {
  const image = await toFile(Buffer.from(picture, "base64"), "picture.png", { type: "image/png" });
  return pictures(await clientOf({}).images.edit({ model, prompt: say, image, ...options }));
}

function pictures({ data }) {
  return { pictures: data.map((picture) => picture.b64_json) };
}

const open = [];

/** Reads a stream up to the first text, and keeps it open. */
async function start(request) {
  const chunks = await clientOf(request).chat.completions.create({ ...body(request), stream: true });
  open.push(chunks);
  for (const each = chunks[Symbol.asyncIterator](); ; ) {
    const { value } = await each.next();
    if (value.choices[0].delta.content) return { text: value.choices[0].delta.content };
  }
}

/** Aborts that stream. */
async function leave() {
  open.pop().controller.abort();
  return {};
}

await serve({ chat, stream, use_tool, parse, models, embed, speak, draw, draw_stream, edit, start, leave });
