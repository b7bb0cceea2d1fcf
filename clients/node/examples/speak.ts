// Writes speech to a WAV file: speak ADDRESS MODEL TEXT FILE.

import { AudioFormat } from "../src/gen/gpt_server/audio/v1/speech.js";
import { connect } from "../src/index.js";

const [address = "", model, input, file = ""] = process.argv.slice(2);
const client = connect(address);
const request = { model, input, format: AudioFormat.AUDIO_FORMAT_WAV };
const { started, finished } = await client.synthesize(request, file, { timeoutMs: 60_000 });
console.log(`${finished.durationS.toFixed(2)} s at ${started.sampleRateHz} Hz`);
client.close();
