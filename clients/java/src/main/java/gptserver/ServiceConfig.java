package gptserver;

import java.util.List;
import java.util.Map;

/** How gRPC balances and repeats calls: over all addresses of a name, and those alone that found nobody. */
final class ServiceConfig {
  static final Map<String, ?> VALUE =
      Map.of(
          "loadBalancingConfig", List.of(Map.of("round_robin", Map.of())),
          "methodConfig", List.of(Map.of("name", List.of(Map.of()), "retryPolicy", retryPolicy())));

  private ServiceConfig() {}

  private static Map<String, ?> retryPolicy() {
    return Map.of(
        "maxAttempts", 4.0,
        "initialBackoff", "0.2s",
        "maxBackoff", "2s",
        "backoffMultiplier", 2.0,
        "retryableStatusCodes", List.of("UNAVAILABLE"));
  }
}
