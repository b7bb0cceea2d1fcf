package gptserver.examples;

import gptserver.Client;
import gptserver.ConnectOptions;
import gptserver.audio.v1.TranscriptionConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;

/** Writes down what is said in a file: Transcribe ADDRESS MODEL FILE. */
final class Transcribe {
  public static void main(String[] args) throws IOException {
    var config = TranscriptionConfig.newBuilder().setModel(args[1]).build();
    try (var client = Client.connect(args[0], ConnectOptions.PLAIN);
        var sound = Files.newInputStream(Path.of(args[2]))) {
      client.transcribe(
          config, sound, Duration.ofMinutes(1), segment -> System.out.print(segment.getText()));
      System.out.println();
    }
  }
}
