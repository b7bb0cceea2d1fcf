package gptserver;

import com.google.protobuf.ByteString;
import gptserver.audio.v1.AudioFormat;
import gptserver.audio.v1.AudioServiceGrpc;
import gptserver.audio.v1.Segment;
import gptserver.audio.v1.SpeechStarted;
import gptserver.audio.v1.SynthesizeRequest;
import gptserver.audio.v1.SynthesizeResponse;
import gptserver.audio.v1.TranscribeRequest;
import gptserver.audio.v1.TranscribeResponse;
import gptserver.audio.v1.TranscriptionConfig;
import gptserver.common.v1.ModelServiceGrpc;
import gptserver.common.v1.Part;
import gptserver.common.v1.WatchRequest;
import gptserver.common.v1.WatchResponse;
import gptserver.embed.v1.EmbedRequest;
import gptserver.embed.v1.EmbedResponse;
import gptserver.embed.v1.EmbedServiceGrpc;
import gptserver.embed.v1.VectorFormat;
import gptserver.image.v1.ImageHeader;
import gptserver.image.v1.ImageServiceGrpc;
import gptserver.llm.v1.GenerateRequest;
import gptserver.llm.v1.GenerateResponse;
import gptserver.llm.v1.LLMServiceGrpc;
import gptserver.llm.v1.Message;
import gptserver.llm.v1.Role;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.stub.AbstractStub;
import io.grpc.stub.BlockingClientCall;
import io.grpc.stub.MetadataUtils;
import java.io.IOException;
import java.io.InputStream;
import java.io.RandomAccessFile;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import java.util.function.Consumer;

/**
 * Calls the services behind one address. Every method throws {@link GptServerException}.
 *
 * <p>{@code timeout} is the call's deadline; with {@code null} the service's own holds (600 s unless configured). What has
 * no method here is called with the generated stubs on {@link #channel}.
 */
public final class Client implements AutoCloseable {
  private static final int PIECE_BYTES = 256 * 1024;
  private static final int WAV_HEADER_BYTES = 44;

  private final ManagedChannel connection;
  private final Channel channel;

  private Client(ManagedChannel connection, Channel channel) {
    this.connection = connection;
    this.channel = channel;
  }

  /**
   * Returns a client; nothing is sent until the first call.
   *
   * @param target {@code host:port}, or a name of gRPC such as {@code dns:///models.internal:50051}, over whose addresses
   *     calls are balanced
   */
  public static Client connect(String target, ConnectOptions options) {
    var connection =
        Grpc.newChannelBuilder(target, options.credentials())
            .defaultServiceConfig(ServiceConfig.VALUE)
            .enableRetry()
            .keepAliveTime(30, TimeUnit.SECONDS)
            .keepAliveTimeout(20, TimeUnit.SECONDS)
            .build();
    if (options.token() == null) {
      return new Client(connection, connection);
    }
    var metadata = new Metadata();
    metadata.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + options.token());
    var bearer = MetadataUtils.newAttachHeadersInterceptor(metadata);
    return new Client(connection, ClientInterceptors.intercept(connection, bearer));
  }

  /** Returns what a user says, as a message of a chat. */
  public static Message user(String text) {
    return Message.newBuilder().setRole(Role.ROLE_USER).addContent(Part.newBuilder().setText(text)).build();
  }

  /** Returns what generated stubs are made with. */
  public Channel channel() {
    return channel;
  }

  /** Closes the connection; calls that still run are cancelled. */
  @Override
  public void close() {
    connection.shutdownNow();
  }

  /** Streams which models the address serves and how busy they are: at once, on change, every second. */
  public Responses<WatchResponse> watch(Duration timeout) {
    var stub = before(timeout, ModelServiceGrpc.newBlockingV2Stub(channel));
    return new Responses<>(stub.watch(WatchRequest.getDefaultInstance()), any -> true);
  }

  /** Continues a chat or a prompt and streams all that comes: deltas of every choice, and at last {@code finished}. */
  public Responses<GenerateResponse> generate(GenerateRequest request, Duration timeout) {
    var stub = before(timeout, LLMServiceGrpc.newBlockingV2Stub(channel));
    return new Responses<>(stub.generate(request), GenerateResponse::hasFinished);
  }

  /** Returns a vector for each input. For other formats than {@code FLOAT32} call the generated stub. */
  public List<float[]> embed(EmbedRequest request, Duration timeout) {
    if (request.hasFormat() && request.getFormat() != VectorFormat.VECTOR_FORMAT_FLOAT32) {
      throw new IllegalArgumentException("embed returns FLOAT32; for other formats call EmbedServiceGrpc on channel()");
    }
    var stub = before(timeout, EmbedServiceGrpc.newBlockingV2Stub(channel));
    var vectors = new ArrayList<float[]>(request.getInputsCount());
    try (var responses = new Responses<>(stub.embed(request), EmbedResponse::hasFinished)) {
      while (responses.hasNext()) {
        var response = responses.next();
        FloatBuffer rows = response.getVectors().asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
        while (rows.hasRemaining()) {
          var vector = new float[response.getRowBytes() / Float.BYTES];
          rows.get(vector);
          vectors.add(vector);
        }
      }
    }
    return vectors;
  }

  /**
   * Sends a sound by pieces, in any form that FFmpeg reads, and shows segments as they are decided; the text is all of
   * theirs, joined.
   *
   * @throws IOException if the sound cannot be read
   */
  public void transcribe(TranscriptionConfig config, InputStream sound, Duration timeout, Consumer<Segment> onSegment)
      throws IOException {
    var stub = before(timeout, AudioServiceGrpc.newBlockingV2Stub(channel));
    BlockingClientCall<TranscribeRequest, TranscribeResponse> call = stub.transcribe();
    var sending = new Thread(() -> send(config, sound, call), "transcribe");
    sending.setDaemon(true);
    sending.start();
    try (var responses = new Responses<>(call, TranscribeResponse::hasFinished)) {
      while (responses.hasNext()) {
        responses.next().getSegmentsList().forEach(onSegment);
      }
    } catch (GptServerException error) {
      if (Status.fromThrowable(error.getCause()).getCause() instanceof IOException unreadable) {
        throw unreadable;
      }
      throw error;
    }
  }

  /**
   * Writes speech to a file while it is spoken. A WAV file gets its true lengths at the end.
   *
   * @throws IOException if the file cannot be written
   */
  public Speech synthesize(SynthesizeRequest request, Path path, Duration timeout) throws IOException {
    var stub = before(timeout, AudioServiceGrpc.newBlockingV2Stub(channel));
    var started = SpeechStarted.getDefaultInstance();
    try (var file = new RandomAccessFile(path.toFile(), "rw");
        var responses = new Responses<>(stub.synthesize(request), SynthesizeResponse::hasFinished)) {
      file.setLength(0);
      while (responses.hasNext()) {
        var response = responses.next();
        started = response.hasStarted() ? response.getStarted() : started;
        file.write(response.getAudio().toByteArray());
        if (response.hasFinished()) {
          writeLengths(file, started.getFormat());
          return new Speech(started, response.getFinished());
        }
      }
    }
    throw GptServerException.unfinished();
  }

  /** Makes images and returns them in order, without previews. {@code onProgress} is told of steps done, and of all. */
  public List<Image> generateImages(
      gptserver.image.v1.GenerateRequest request, Duration timeout, BiConsumer<Integer, Integer> onProgress) {
    var stub = before(timeout, ImageServiceGrpc.newBlockingV2Stub(channel));
    var images = new ArrayList<Image>();
    var header = ImageHeader.getDefaultInstance();
    var content = ByteString.EMPTY;
    try (var responses = new Responses<>(stub.generate(request), response -> response.hasFinished())) {
      while (responses.hasNext()) {
        var response = responses.next();
        if (response.hasProgress()) {
          onProgress.accept(response.getProgress().getStep(), response.getProgress().getSteps());
        }
        if (!response.hasImagePart()) {
          continue;
        }
        var part = response.getImagePart();
        if (part.hasHeader()) {
          header = part.getHeader();
          content = ByteString.EMPTY;
        }
        content = content.concat(part.getContent());
        if (part.getLast() && !header.hasPreview()) {
          images.add(new Image(header, content));
        }
      }
    }
    return images;
  }

  private static <S extends AbstractStub<S>> S before(Duration timeout, S stub) {
    return timeout == null ? stub : stub.withDeadlineAfter(timeout.toNanos(), TimeUnit.NANOSECONDS);
  }

  private static void send(
      TranscriptionConfig config, InputStream sound, BlockingClientCall<TranscribeRequest, TranscribeResponse> call) {
    try {
      call.write(TranscribeRequest.newBuilder().setConfig(config).build());
      for (byte[] piece = sound.readNBytes(PIECE_BYTES); piece.length > 0; piece = sound.readNBytes(PIECE_BYTES)) {
        call.write(TranscribeRequest.newBuilder().setAudio(ByteString.copyFrom(piece)).build());
      }
      call.halfClose();
    } catch (IOException unreadable) {
      call.cancel("the sound cannot be read", unreadable); // half-closed, it would look whole
    } catch (StatusException | InterruptedException over) {
      Thread.currentThread().interrupt(); // who reads the answers learns why
    }
  }

  /** Mends the header of a WAV file, which is sent before the length is known. */
  private static void writeLengths(RandomAccessFile file, AudioFormat format) throws IOException {
    long length = file.length();
    if (format != AudioFormat.AUDIO_FORMAT_WAV || length < WAV_HEADER_BYTES) {
      return;
    }
    file.seek(4);
    file.writeInt(Integer.reverseBytes((int) (length - 8)));
    file.seek(40);
    file.writeInt(Integer.reverseBytes((int) (length - WAV_HEADER_BYTES)));
  }
}
