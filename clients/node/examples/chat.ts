// Streams an answer: chat ADDRESS MODEL TEXT [TEMPERATURE].
//
// GPT_SERVER_CA names a file with the authority of a service that speaks TLS, GPT_SERVER_TOKEN is a token.

import { status } from "@grpc/grpc-js";
import { readFileSync } from "node:fs";

import { FinishReason } from "../src/gen/gpt_server/llm/v1/llm_service.js";
import { connect, ErrorReason, GPTServerError, user } from "../src/index.js";

const [address = "", model, text = "", temperature = "0"] = process.argv.slice(2);
const { GPT_SERVER_CA: ca, GPT_SERVER_TOKEN: token } = process.env;
const client = connect(address, { tls: ca ? { ca: readFileSync(ca) } : undefined, token });
try {
  const sampling = { temperature: Number(temperature), maxTokens: 200 };
  const request = { model, chat: { messages: [user(text)] }, sampling };
  for await (const { deltas, finished } of client.generate(request, { timeoutMs: 60_000 })) {
    for (const { content } of deltas) process.stdout.write(content);
    if (!finished) continue;
    const reason = finished.choices.map(({ finishReason }) => FinishReason[finishReason]);
    console.log(`\n${reason}, ${finished.usage?.completionTokens} tokens`);
  }
} catch (error) {
  if (!(error instanceof GPTServerError)) throw error;
  console.error(`${status[error.code]} ${ErrorReason[error.reason]} ${error.field}: ${error.message}`);
  process.exitCode = 1;
}
client.close();
