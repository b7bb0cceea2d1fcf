package gptserver;

import io.grpc.ChannelCredentials;
import io.grpc.InsecureChannelCredentials;

/**
 * How to connect.
 *
 * @param credentials {@code InsecureChannelCredentials.create()} for plain text, or {@code TlsChannelCredentials}
 * @param token shown with every call, where the service wants one; {@code null} for none
 */
public record ConnectOptions(ChannelCredentials credentials, String token) {
  /** Plain text, without a token. */
  public static final ConnectOptions PLAIN = new ConnectOptions(InsecureChannelCredentials.create(), null);
}
