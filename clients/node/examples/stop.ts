// Ends a long answer in two ways, by cancelling and by a deadline: stop ADDRESS MODEL.

import { status } from "@grpc/grpc-js";

import { connect, GPTServerError, user } from "../src/index.js";

const [address = "", model] = process.argv.slice(2);
const client = connect(address);
const endless = { model, chat: { messages: [user("Count from 1 to 1000.")] }, sampling: { ignoreEos: true } };

for await (const { deltas } of client.generate(endless)) {
  if (!deltas[0]) continue;
  console.log("first piece:", deltas[0].content.trim());
  break; // cancels the call
}
for await (const { models } of client.watch({ timeoutMs: 60_000 })) {
  if (!models.some((one) => one.model?.name === model && one.running === 0)) continue;
  console.log("running: 0");
  break;
}
try {
  for await (const _ of client.generate(endless, { timeoutMs: 500 }));
} catch (error) {
  if (!(error instanceof GPTServerError)) throw error;
  console.log(status[error.code]);
}
client.close();
