// Draws a picture: draw ADDRESS MODEL TEXT FILE.

import { writeFileSync } from "node:fs";

import { connect } from "../src/index.js";

const [address = "", model, prompt, file = ""] = process.argv.slice(2);
const client = connect(address);
const onProgress = (step: number, steps: number) => console.log(`step ${step} of ${steps}`);
const request = { model, prompt, options: { seed: 1n } };
const [image] = await client.generateImages(request, { onProgress, timeoutMs: 120_000 });
if (!image) throw new Error("no image came");
writeFileSync(file, image.content);
console.log(`${image.header.widthPx} × ${image.header.heightPx}, seed ${image.header.seed}`);
client.close();
