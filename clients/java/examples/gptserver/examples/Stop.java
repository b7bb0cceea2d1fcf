package gptserver.examples;

import gptserver.Client;
import gptserver.ConnectOptions;
import gptserver.GptServerException;
import gptserver.llm.v1.Chat;
import gptserver.llm.v1.GenerateRequest;
import gptserver.llm.v1.Sampling;
import java.time.Duration;

/** Ends a long answer in two ways, by cancelling and by a deadline: Stop ADDRESS MODEL. */
final class Stop {
  public static void main(String[] args) {
    String model = args[1];
    var endless =
        GenerateRequest.newBuilder()
            .setModel(model)
            .setChat(Chat.newBuilder().addMessages(Client.user("Count from 1 to 1000.")))
            .setSampling(Sampling.newBuilder().setIgnoreEos(true))
            .build();
    try (var client = Client.connect(args[0], ConnectOptions.PLAIN)) {
      try (var answer = client.generate(endless, null)) {
        var response = answer.next();
        while (response.getDeltasCount() == 0) {
          response = answer.next();
        }
        System.out.println("first piece: " + response.getDeltas(0).getContent().strip());
      } // closing it cancels the call
      untilIdle(client, model);
      try (var answer = client.generate(endless, Duration.ofMillis(500))) {
        answer.forEachRemaining(response -> {});
      } catch (GptServerException error) {
        System.out.println(error.code());
      }
    }
  }

  /** Waits until the service says that nothing runs. */
  private static void untilIdle(Client client, String model) {
    try (var pictures = client.watch(Duration.ofMinutes(1))) {
      while (pictures.hasNext()) {
        var models = pictures.next().getModelsList().stream();
        if (models.anyMatch(one -> one.getModel().getName().equals(model) && one.getRunning() == 0)) {
          System.out.println("running: 0");
          return;
        }
      }
    }
  }
}
