// The client: each modality's calls, with streams joined to what their callers want.

import { open } from "node:fs/promises";

import { type Call, callOptions, channelOf, type ConnectOptions, reading } from "./channels.js";
import { asError, unfinished } from "./errors.js";
import { AudioServiceClient } from "./gen/gpt_server/audio/v1/audio_service.js";
import { AudioFormat, type SpeechFinished, type SpeechStarted, SynthesizeRequest } from "./gen/gpt_server/audio/v1/speech.js";
import { type Segment, TranscribeRequest, type TranscriptionConfig } from "./gen/gpt_server/audio/v1/transcription.js";
import { ModelServiceClient, type WatchResponse } from "./gen/gpt_server/common/v1/model_service.js";
import { type DeepPartial, EmbedRequest, EmbedServiceClient, VectorFormat } from "./gen/gpt_server/embed/v1/embed_service.js";
import { GenerateRequest as ImageRequest, type ImageHeader, ImageServiceClient } from "./gen/gpt_server/image/v1/image_service.js";
import { type Message, Role } from "./gen/gpt_server/llm/v1/chat.js";
import { GenerateRequest, type GenerateResponse, LLMServiceClient } from "./gen/gpt_server/llm/v1/llm_service.js";

const WAV_HEADER_BYTES = 44;

/** What was written to a file. */
export interface Speech {
  /** Form, rate and channels. */
  started: SpeechStarted;
  /** Length in seconds, timings. */
  finished: SpeechFinished;
}

/** A finished image. */
export interface Image {
  /** Its seed, size and format. */
  header: ImageHeader;
  /** The bytes of its file. */
  content: Buffer;
}

/** Returns what a user says, as a message of a chat. */
export function user(text: string): DeepPartial<Message> {
  return { role: Role.ROLE_USER, content: [{ text }] };
}

/**
 * Returns a client; nothing is sent until the first call.
 *
 * @param target `host:port`, or a name of gRPC such as `dns:///models.internal:50051`, over whose addresses calls are
 *   balanced.
 */
export function connect(target: string, options: ConnectOptions = {}): Client {
  return new Client(target, options);
}

/**
 * Calls the services behind one address. Every method fails with `GPTServerError`. What has no method here is called
 * on the generated clients; `asError` reads their errors.
 */
export class Client {
  readonly audio: AudioServiceClient;
  readonly embed: EmbedServiceClient;
  readonly image: ImageServiceClient;
  readonly llm: LLMServiceClient;
  readonly models: ModelServiceClient;

  constructor(target: string, options: ConnectOptions) {
    const [credentials, channel] = channelOf(options);
    this.llm = new LLMServiceClient(target, credentials, channel);
    const shared = { ...channel, channelOverride: this.llm.getChannel() };
    this.audio = new AudioServiceClient(target, credentials, shared);
    this.embed = new EmbedServiceClient(target, credentials, shared);
    this.image = new ImageServiceClient(target, credentials, shared);
    this.models = new ModelServiceClient(target, credentials, shared);
  }

  /** Closes the connection. */
  close(): void {
    this.llm.close();
  }

  /** Yields which models the address serves and how busy they are: at once, on change, every second. */
  watch(call: Call = {}): AsyncGenerator<WatchResponse> {
    return translated(reading(this.models.watch({}, callOptions(call)), call));
  }

  /**
   * Continues a chat or a prompt and streams all that comes: deltas of every choice, and at last a message with
   * `finished`. Leaving the loop, or the signal, ends the work.
   */
  async *generate(request: DeepPartial<GenerateRequest>, call: Call = {}): AsyncGenerator<GenerateResponse> {
    let finished = false;
    const stream = this.llm.generate(GenerateRequest.fromPartial(request), callOptions(call));
    for await (const response of translated(reading(stream, call))) {
      finished ||= response.finished !== undefined;
      yield response;
    }
    if (!finished) throw unfinished();
  }

  /** Returns a vector for each input. */
  async embedFloats(request: DeepPartial<EmbedRequest>, call: Call = {}): Promise<Float32Array[]> {
    if ((request.format ?? VectorFormat.VECTOR_FORMAT_FLOAT32) !== VectorFormat.VECTOR_FORMAT_FLOAT32) {
      throw new TypeError("embedFloats returns FLOAT32; for other formats call client.embed.embed");
    }
    const vectors: Float32Array[] = [];
    const stream = this.embed.embed(EmbedRequest.fromPartial(request), callOptions(call));
    for await (const { vectors: rows, rowBytes, finished } of translated(reading(stream, call))) {
      for (let at = 0; at < rows.length; at += rowBytes) vectors.push(floats(rows.subarray(at, at + rowBytes)));
      if (finished) return vectors;
    }
    throw unfinished();
  }

  /**
   * Sends a sound by pieces, in any form that FFmpeg reads, and yields segments as they are decided; the text is all of
   * theirs, joined. Leaving the loop, or the signal, ends the work.
   *
   * @param sound pieces of at most 1 MiB, for example `createReadStream(file)`.
   */
  async *transcribe(
    config: DeepPartial<TranscriptionConfig>,
    sound: AsyncIterable<Uint8Array>,
    call: Call = {},
  ): AsyncGenerator<Segment> {
    const stream = this.audio.transcribe(callOptions(call));
    const sending = send();
    sending.catch(() => stream.cancel());
    for await (const { segments, finished } of translated(reading(stream, call), sending)) {
      yield* segments;
      if (finished) return;
    }
    throw unfinished();

    async function send() {
      stream.write(TranscribeRequest.fromPartial({ config }));
      for await (const audio of sound) {
        if (stream.destroyed) return;
        const took = stream.write(TranscribeRequest.fromPartial({ audio: Buffer.from(audio) }));
        if (!took) await new Promise((resolve) => stream.once("drain", resolve).once("close", resolve));
      }
      stream.end();
    }
  }

  /** Writes speech to a file while it is spoken. A WAV file gets its true lengths at the end. */
  async synthesize(request: DeepPartial<SynthesizeRequest>, path: string, call: Call = {}): Promise<Speech> {
    const file = await open(path, "w");
    let started: SpeechStarted | undefined;
    let length = 0;
    try {
      const stream = this.audio.synthesize(SynthesizeRequest.fromPartial(request), callOptions(call));
      for await (const response of translated(reading(stream, call))) {
        started ??= response.started;
        await file.write(response.audio);
        length += response.audio.length;
        if (!started || !response.finished) continue;
        if (started.format === AudioFormat.AUDIO_FORMAT_WAV && length >= WAV_HEADER_BYTES) {
          await file.write(uint32(length - 8), 0, 4, 4);
          await file.write(uint32(length - WAV_HEADER_BYTES), 0, 4, 40);
        }
        return { started, finished: response.finished };
      }
    } finally {
      await file.close();
    }
    throw unfinished();
  }

  /** Makes images and returns them in order, without previews. `onProgress` is told of steps done, and of all. */
  async generateImages(
    request: DeepPartial<ImageRequest>,
    call: Call & { onProgress?: (step: number, steps: number) => void } = {},
  ): Promise<Image[]> {
    const images: Image[] = [];
    let header: ImageHeader | undefined;
    let parts: Buffer[] = [];
    const stream = this.image.generate(ImageRequest.fromPartial(request), callOptions(call));
    for await (const { progress, imagePart, finished } of translated(reading(stream, call))) {
      if (progress) call.onProgress?.(progress.step, progress.steps);
      if (imagePart?.header) [header, parts] = [imagePart.header, []];
      if (imagePart) parts.push(imagePart.content);
      if (imagePart?.last && header && header.preview === undefined) {
        images.push({ header, content: Buffer.concat(parts) });
      }
      if (finished) return images;
    }
    throw unfinished();
  }
}

/** Yields what comes, with errors as `GPTServerError`; an error of `cause`, if it has failed, in their place. */
async function* translated<T>(messages: AsyncIterable<T>, cause?: Promise<void>): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    await Promise.race([cause, Promise.resolve()]);
    throw asError(error);
  }
}

function floats(row: Buffer): Float32Array {
  return Float32Array.from({ length: row.length / 4 }, (_, i) => row.readFloatLE(4 * i));
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
