// Writes down what is said in a file: transcribe ADDRESS MODEL FILE.

import { createReadStream } from "node:fs";

import { connect } from "../src/index.js";

const [address = "", model, file = ""] = process.argv.slice(2);
const client = connect(address);
for await (const { text } of client.transcribe({ model }, createReadStream(file), { timeoutMs: 60_000 })) {
  process.stdout.write(text);
}
console.log();
client.close();
