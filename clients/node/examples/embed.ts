// Compares texts with the first: embed ADDRESS MODEL TEXT TEXT…

import { connect } from "../src/index.js";

const [address = "", model, ...texts] = process.argv.slice(2);
const client = connect(address);
const [first = new Float32Array(), ...others] = await client.embedFloats(
  { model, inputs: texts.map((text) => ({ text })) },
  { timeoutMs: 60_000 },
);
console.log(`${others.length + 1} vectors of ${first.length} numbers`);
others.forEach((vector, i) => {
  const cosine = vector.reduce((sum, number, j) => sum + number * first[j]!, 0);
  console.log(cosine.toFixed(4), texts[i + 1]);
});
client.close();
