package gptserver.examples;

import gptserver.Client;
import gptserver.ConnectOptions;
import gptserver.embed.v1.EmbedRequest;
import gptserver.embed.v1.Input;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;

/** Compares texts with the first: Embed ADDRESS MODEL TEXT TEXT… */
final class Embed {
  public static void main(String[] args) {
    List<String> texts = Arrays.asList(args).subList(2, args.length);
    var request = EmbedRequest.newBuilder().setModel(args[1]);
    texts.forEach(text -> request.addInputs(Input.newBuilder().setText(text)));
    try (var client = Client.connect(args[0], ConnectOptions.PLAIN)) {
      List<float[]> vectors = client.embed(request.build(), Duration.ofMinutes(1));
      System.out.printf("%d vectors of %d numbers%n", vectors.size(), vectors.get(0).length);
      for (int i = 1; i < vectors.size(); i++) {
        System.out.printf("%.4f %s%n", product(vectors.get(0), vectors.get(i)), texts.get(i));
      }
    }
  }

  /** The cosine of the angle between two vectors of length 1. */
  private static float product(float[] a, float[] b) {
    float sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += a[i] * b[i];
    }
    return sum;
  }
}
