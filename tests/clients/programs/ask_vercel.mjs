// The Vercel AI SDK, with @ai-sdk/openai-compatible.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, Output, RetryError, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

import { raised, serve, SUNNY, WEATHER } from "./serving.mjs";

const Person = z.object({ name: z.string(), age: z.number() });

/** Returns the arguments of a call. */
function fields({ model, say, key = process.env.OPENAI_API_KEY, retries = 0, timeout_s = 60, headers, ...request }) {
  const provider = createOpenAICompatible({
    name: "gptServer",
    baseURL: process.env.OPENAI_BASE_URL,
    apiKey: key,
    includeUsage: true, // without it streams have no usage
    supportsStructuredOutputs: true, // without it a schema is not sent
  });
  const { name, description, parameters } = WEATHER;
  const weather = tool({ description, inputSchema: jsonSchema(parameters) });
  return {
    model: provider(model),
    prompt: say,
    maxRetries: retries,
    headers,
    ...(request.tools && { tools: { [name]: weather } }),
    ...request.options,
    providerOptions: { gptServer: request.extra ?? {} },
    abortSignal: AbortSignal.timeout(timeout_s * 1000),
  };
}

/** Returns what the tests look at. The SDK itself has read the arguments of calls; it says `tool-calls`. */
function shown({ text, reasoningText, finishReason, toolCalls, usage }) {
  const calls = toolCalls.map(({ toolCallId, toolName, input }) => ({ id: toolCallId, name: toolName, arguments: input }));
  const finish_reason = finishReason.replace("-", "_");
  const choice = { text, reasoning: reasoningText ?? null, finish_reason, calls, tokens: [] };
  return { choices: [choice], usage: [usage.inputTokens, usage.outputTokens] };
}

async function chat(request) {
  return shown(await generateText(fields(request)).catch(unwrap));
}

/** Asks for a stream; an error is a part of it, not an exception. */
async function stream(request) {
  const pieces = [];
  const answer = streamText({ ...fields(request), onError: () => {} });
  for await (const part of answer.fullStream) {
    if (part.type === "text-delta") pieces.push(part.text);
    if (part.type === "error") return raised(inner(part.error), pieces.join(""));
  }
  const { text, reasoningText, finishReason, toolCalls, usage } = answer;
  const [whole, thought, reason, calls, used] = await Promise.all([text, reasoningText, finishReason, toolCalls, usage]);
  const joined = { text: whole, reasoningText: thought, finishReason: reason, toolCalls: calls, usage: used };
  return { ...shown(joined), pieces: pieces.length };
}

/** Asks with a tool that the SDK itself runs, and lets it ask again. */
async function use_tool(request) {
  const asked = fields(request);
  asked.tools[WEATHER.name].execute = async () => JSON.parse(SUNNY);
  return shown(await generateText({ ...asked, stopWhen: stepCountIs(2) }));
}

/** Asks for an answer in a form. */
async function parse(request) {
  const { output } = await generateText({ ...fields(request), output: Output.object({ schema: Person }) });
  return { parsed: output };
}

const open = [];

/** Reads a stream up to the first text, and keeps it open. */
async function start(request) {
  const leaving = new AbortController();
  const answer = streamText({ ...fields(request), abortSignal: leaving.signal });
  const texts = answer.textStream[Symbol.asyncIterator]();
  open.push(leaving);
  return { text: (await texts.next()).value };
}

/** Aborts that stream. */
async function leave() {
  open.pop().abort();
  return {};
}

function unwrap(error) {
  throw inner(error);
}

/** Returns the last error of a call that was tried more than once. */
function inner(error) {
  return RetryError.isInstance(error) ? error.lastError : error;
}

await serve({ chat, stream, use_tool, parse, start, leave });
