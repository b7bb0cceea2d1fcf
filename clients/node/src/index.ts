// A client of GPT Server's gRPC services. `connect` is where to begin; requests are the generated messages.

export type { Call, ConnectOptions } from "./channels.js";
export { Client, connect, type Image, type Speech, user } from "./client.js";
export { asError, GPTServerError } from "./errors.js";
export { ErrorReason } from "./gen/gpt_server/common/v1/error.js";
