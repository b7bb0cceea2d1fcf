package gptserver;

import io.grpc.StatusException;
import io.grpc.stub.BlockingClientCall;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.function.Predicate;

/**
 * The messages of a call, in order. Closing it cancels the call and ends the work, if that has not ended. {@code hasNext}
 * and {@code next} throw {@link GptServerException}.
 *
 * @param <T> a message of the service
 */
public final class Responses<T> implements Iterator<T>, AutoCloseable {
  private final BlockingClientCall<?, T> call;
  private final Predicate<T> isLast;
  private boolean finished;
  private T next;

  Responses(BlockingClientCall<?, T> call, Predicate<T> isLast) {
    this.call = call;
    this.isLast = isLast;
  }

  @Override
  public boolean hasNext() {
    if (next == null) {
      next = read();
    }
    return next != null;
  }

  @Override
  public T next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    T message = next;
    next = null;
    return message;
  }

  /** Cancels the call; does nothing after its end. */
  @Override
  public void close() {
    call.cancel("the caller has left", null);
  }

  private T read() {
    try {
      T message = call.read();
      if (message == null && !finished) {
        throw GptServerException.unfinished();
      }
      finished = message == null || isLast.test(message);
      return message;
    } catch (StatusException error) {
      throw GptServerException.of(error);
    } catch (InterruptedException interrupted) {
      close();
      Thread.currentThread().interrupt();
      throw GptServerException.of(io.grpc.Status.CANCELLED.withCause(interrupted).asException());
    }
  }
}
