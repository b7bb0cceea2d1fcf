// How a call fails.

import { Metadata, type ServiceError, status } from "@grpc/grpc-js";

import { ErrorReason } from "./gen/gpt_server/common/v1/error.js";
import { BadRequest, ErrorInfo, RetryInfo, Status } from "./gen/status.js";

const DOMAIN = "gpt-server";
const DETAILS = "grpc-status-details-bin";

/** A call has failed. */
export class GPTServerError extends Error {
  override readonly name = "GPTServerError";

  constructor(
    message: string,
    /** gRPC's status code. */
    readonly code: status,
    /**
     * Why, as the service says; `ERROR_REASON_UNSPECIFIED` where gRPC itself has failed, for example because the
     * deadline has passed or nobody listens at the address.
     */
    readonly reason: ErrorReason = ErrorReason.ERROR_REASON_UNSPECIFIED,
    /** Path of the field that is at fault, such as `sampling.temperature`; empty if there is none. */
    readonly field: string = "",
    /** How long to wait before the call is made again, in milliseconds; `undefined`: not said. */
    readonly retryAfterMs?: number,
  ) {
    super(message);
  }
}

/** The error of a stream that ended before its `finished`. */
export function unfinished(): GPTServerError {
  return new GPTServerError("the stream ended before it was finished", status.INTERNAL);
}

/** Returns an error of a generated client as `GPTServerError`, and any other as it is. */
export function asError(error: unknown): unknown {
  if (!isServiceError(error)) return error;
  let [reason, field, retryAfterMs] = [ErrorReason.ERROR_REASON_UNSPECIFIED, "", undefined as number | undefined];
  for (const { typeUrl, value } of detailsOf(error.metadata)) {
    if (typeUrl.endsWith("/google.rpc.ErrorInfo")) {
      const info = ErrorInfo.decode(value);
      if (info.domain === DOMAIN) reason = named(info.reason);
    } else if (typeUrl.endsWith("/google.rpc.BadRequest")) {
      field = BadRequest.decode(value).fieldViolations[0]?.field ?? "";
    } else if (typeUrl.endsWith("/google.rpc.RetryInfo")) {
      const { seconds, nanos } = RetryInfo.decode(value).retryDelay ?? { seconds: 0n, nanos: 0 };
      retryAfterMs = Number(seconds) * 1000 + nanos / 1e6;
    }
  }
  return new GPTServerError(error.details, error.code, reason, field, retryAfterMs);
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error && "metadata" in error;
}

function detailsOf(metadata: Metadata): { typeUrl: string; value: Uint8Array }[] {
  const [bytes] = metadata.get(DETAILS);
  return bytes instanceof Buffer ? Status.decode(bytes).details : [];
}

/** Returns a reason by its name without the prefix; `UNSPECIFIED` for one that this version does not know. */
function named(name: string): ErrorReason {
  return ErrorReason[`ERROR_REASON_${name}` as keyof typeof ErrorReason] ?? ErrorReason.ERROR_REASON_UNSPECIFIED;
}
