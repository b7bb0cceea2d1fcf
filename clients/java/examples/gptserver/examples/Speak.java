package gptserver.examples;

import gptserver.Client;
import gptserver.ConnectOptions;
import gptserver.audio.v1.AudioFormat;
import gptserver.audio.v1.SynthesizeRequest;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;

/** Writes speech to a WAV file: Speak ADDRESS MODEL TEXT FILE. */
final class Speak {
  public static void main(String[] args) throws IOException {
    var request =
        SynthesizeRequest.newBuilder()
            .setModel(args[1])
            .setInput(args[2])
            .setFormat(AudioFormat.AUDIO_FORMAT_WAV)
            .build();
    try (var client = Client.connect(args[0], ConnectOptions.PLAIN)) {
      var speech = client.synthesize(request, Path.of(args[3]), Duration.ofMinutes(1));
      System.out.printf(
          "%.2f s at %d Hz%n", speech.finished().getDurationS(), speech.started().getSampleRateHz());
    }
  }
}
