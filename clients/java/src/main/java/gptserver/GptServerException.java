package gptserver;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import gptserver.common.v1.ErrorReason;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.Optional;

/** A call has failed. */
public final class GptServerException extends RuntimeException {
  private static final long serialVersionUID = 1L;
  private static final String DOMAIN = "gpt-server";

  private final Status.Code code;
  private ErrorReason reason = ErrorReason.ERROR_REASON_UNSPECIFIED;
  private String field = "";
  private Duration retryAfter;

  private GptServerException(Throwable cause) {
    super(Status.fromThrowable(cause).getDescription(), cause);
    code = Status.fromThrowable(cause).getCode();
    com.google.rpc.Status status = StatusProto.fromThrowable(cause);
    if (status == null) {
      return;
    }
    try {
      for (Any detail : status.getDetailsList()) {
        read(detail);
      }
    } catch (InvalidProtocolBufferException unreadable) {
      addSuppressed(unreadable);
    }
  }

  /** Returns an error of a generated stub as one of ours. */
  public static GptServerException of(Throwable error) {
    return error instanceof GptServerException ours ? ours : new GptServerException(error);
  }

  static GptServerException unfinished() {
    return of(Status.INTERNAL.withDescription("the stream ended before it was finished").asException());
  }

  /** Returns gRPC's status code. */
  public Status.Code code() {
    return code;
  }

  /**
   * Returns why, as the service says; {@code ERROR_REASON_UNSPECIFIED} where gRPC itself has failed, for example because
   * the deadline has passed or nobody listens at the address.
   */
  public ErrorReason reason() {
    return reason;
  }

  /** Returns the path of the field that is at fault, such as {@code sampling.temperature}; empty if there is none. */
  public String field() {
    return field;
  }

  /** Returns how long to wait before the call is made again, if the service says so. */
  public Optional<Duration> retryAfter() {
    return Optional.ofNullable(retryAfter);
  }

  private void read(Any detail) throws InvalidProtocolBufferException {
    if (detail.is(ErrorInfo.class) && detail.unpack(ErrorInfo.class).getDomain().equals(DOMAIN)) {
      var value = ErrorReason.getDescriptor().findValueByName("ERROR_REASON_" + detail.unpack(ErrorInfo.class).getReason());
      reason = value == null ? ErrorReason.ERROR_REASON_UNSPECIFIED : ErrorReason.valueOf(value);
    } else if (detail.is(BadRequest.class) && detail.unpack(BadRequest.class).getFieldViolationsCount() > 0) {
      field = detail.unpack(BadRequest.class).getFieldViolations(0).getField();
    } else if (detail.is(RetryInfo.class)) {
      var delay = detail.unpack(RetryInfo.class).getRetryDelay();
      retryAfter = Duration.ofSeconds(delay.getSeconds(), delay.getNanos());
    }
  }
}
