// Credentials and options of connections.

import {
  type CallOptions,
  type ClientReadableStream,
  type ClientOptions,
  credentials,
  InterceptingCall,
  type Interceptor,
} from "@grpc/grpc-js";

/** How to connect. */
export interface ConnectOptions {
  /** Encrypts: `true` trusts Node's authorities, `ca` others (PEM); `key` and `cert` are ours (mutual TLS). */
  tls?: true | { ca?: Buffer; key?: Buffer; cert?: Buffer };
  /** Shown with every call, where the service wants one. */
  token?: string;
}

/** How a call is made. */
export interface Call {
  /** Ends the work when it is aborted. */
  signal?: AbortSignal;
  /** The call's deadline, in milliseconds from now; without one the service's own holds (600 s unless configured). */
  timeoutMs?: number;
}

const SERVICE_CONFIG = {
  loadBalancingConfig: [{ round_robin: {} }],
  methodConfig: [
    {
      name: [{}],
      retryPolicy: {
        maxAttempts: 4,
        initialBackoff: "0.2s",
        maxBackoff: "2s",
        backoffMultiplier: 2,
        retryableStatusCodes: ["UNAVAILABLE"],
      },
    },
  ],
};

/** Returns credentials and options of a connection. */
export function channelOf({ tls, token }: ConnectOptions) {
  const { ca, key, cert } = tls === true || !tls ? {} : tls;
  const options: ClientOptions = {
    "grpc.service_config": JSON.stringify(SERVICE_CONFIG),
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 20_000,
    interceptors: token ? [bearer(token)] : [],
  };
  return [tls ? credentials.createSsl(ca, key, cert) : credentials.createInsecure(), options] as const;
}

/** Returns the options that gRPC makes a call with. */
export function callOptions({ timeoutMs }: Call): Partial<CallOptions> {
  return timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
}

/** Reads a stream to its end; it is cancelled when the reader leaves it or the signal is aborted. */
export async function* reading<T>(stream: ClientReadableStream<T>, { signal }: Call): AsyncGenerator<T> {
  const cancel = () => stream.cancel();
  signal?.addEventListener("abort", cancel);
  if (signal?.aborted) cancel();
  try {
    yield* stream as AsyncIterable<T>;
  } finally {
    signal?.removeEventListener("abort", cancel);
    stream.on("error", () => {}); // of the cancelling itself
    cancel();
  }
}

function bearer(token: string): Interceptor {
  return (options, next) =>
    new InterceptingCall(next(options), {
      start(metadata, listener, go) {
        metadata.set("authorization", `Bearer ${token}`);
        go(metadata, listener);
      },
    });
}
