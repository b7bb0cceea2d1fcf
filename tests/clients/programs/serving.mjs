// A program's side of the conversation with the tests: one JSON document a line, on standard input and output.

import { createInterface } from "node:readline";

export const WEATHER = {
  name: "get_weather",
  description: "Get the current weather of a city",
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};
export const SUNNY = '{"temperature": 21, "condition": "sunny"}';

const LONGEST_PAUSE_MS = 50_000; // longer timers are time limits of requests
const pauses = [];

/**
 * Answers requests until there are no more. `do` in a request is the verb; an exception is an answer too.
 *
 * Every answer has `pauses_s`: how long the library has waited between its attempts, in seconds.
 */
export async function serve(verbs) {
  noteTimers();
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    pauses.length = 0;
    let reply;
    try {
      reply = await verbs[request.do](request);
    } catch (error) {
      reply = raised(error);
    }
    process.stdout.write(`${JSON.stringify({ ...reply, pauses_s: pauses })}\n`);
  }
  process.exit();
}

/** Returns how an error looks to its catcher, and the text that came before it. */
export function raised(error, before = "") {
  const is = [];
  for (let kind = error.constructor; kind?.name; kind = Object.getPrototypeOf(kind)) is.push(kind.name);
  const code = error.code ?? error.data?.error?.code ?? null;
  return { raised: { is, status: error.status ?? error.statusCode ?? null, code, text: error.message }, before };
}

function noteTimers() {
  const { setTimeout } = globalThis;
  globalThis.setTimeout = (call, ms, ...rest) => {
    const ofHttp = new Error().stack.includes("undici"); // `fetch` has timers of its own
    if (ms > 0 && ms < LONGEST_PAUSE_MS && !ofHttp) pauses.push(ms / 1000);
    return setTimeout(call, ms, ...rest);
  };
}
