package gptserver.examples;

import gptserver.Client;
import gptserver.ConnectOptions;
import gptserver.GptServerException;
import gptserver.llm.v1.GenerateRequest;
import gptserver.llm.v1.Sampling;
import io.grpc.InsecureChannelCredentials;
import io.grpc.TlsChannelCredentials;
import java.io.File;
import java.io.IOException;
import java.time.Duration;

/**
 * Streams an answer: Chat ADDRESS MODEL TEXT [TEMPERATURE].
 *
 * <p>GPT_SERVER_CA names a file with the authority of a service that speaks TLS, GPT_SERVER_TOKEN is a token.
 */
final class Chat {
  public static void main(String[] args) throws IOException {
    float temperature = args.length > 3 ? Float.parseFloat(args[3]) : 0;
    var request =
        GenerateRequest.newBuilder()
            .setModel(args[1])
            .setChat(gptserver.llm.v1.Chat.newBuilder().addMessages(Client.user(args[2])))
            .setSampling(Sampling.newBuilder().setTemperature(temperature).setMaxTokens(200))
            .build();
    try (var client = Client.connect(args[0], options());
        var answer = client.generate(request, Duration.ofMinutes(1))) {
      while (answer.hasNext()) {
        var response = answer.next();
        response.getDeltasList().forEach(delta -> System.out.print(delta.getContent()));
        System.out.flush();
        if (response.hasFinished()) {
          var finished = response.getFinished();
          int tokens = finished.getUsage().getCompletionTokens();
          System.out.printf("%n%s, %d tokens%n", finished.getChoices(0).getFinishReason(), tokens);
        }
      }
    } catch (GptServerException error) {
      System.err.printf("%s %s %s: %s%n", error.code(), error.reason(), error.field(), error.getMessage());
      System.exit(1);
    }
  }

  private static ConnectOptions options() throws IOException {
    String ca = System.getenv("GPT_SERVER_CA");
    var credentials =
        ca == null
            ? InsecureChannelCredentials.create()
            : TlsChannelCredentials.newBuilder().trustManager(new File(ca)).build();
    return new ConnectOptions(credentials, System.getenv("GPT_SERVER_TOKEN"));
  }
}
