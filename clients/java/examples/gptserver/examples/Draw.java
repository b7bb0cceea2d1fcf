package gptserver.examples;

import gptserver.Client;
import gptserver.ConnectOptions;
import gptserver.image.v1.GenerateRequest;
import gptserver.image.v1.Options;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;

/** Draws a picture: Draw ADDRESS MODEL TEXT FILE. */
final class Draw {
  public static void main(String[] args) throws IOException {
    var request =
        GenerateRequest.newBuilder()
            .setModel(args[1])
            .setPrompt(args[2])
            .setOptions(Options.newBuilder().setSeed(1))
            .build();
    try (var client = Client.connect(args[0], ConnectOptions.PLAIN)) {
      var images =
          client.generateImages(
              request,
              Duration.ofMinutes(2),
              (step, steps) -> System.out.printf("step %d of %d%n", step, steps));
      Files.write(Path.of(args[3]), images.get(0).content().toByteArray());
      var header = images.get(0).header();
      System.out.printf("%d × %d, seed %d%n", header.getWidthPx(), header.getHeightPx(), header.getSeed());
    }
  }
}
