// Package gptserver calls the gRPC services of GPT Server. Connect is where to begin; requests are the generated
// messages of the packages below gen.
package gptserver

import (
	"context"
	"crypto/tls"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	audiov1 "gpt-server/clients/go/gen/gpt_server/audio/v1"
	commonv1 "gpt-server/clients/go/gen/gpt_server/common/v1"
	embedv1 "gpt-server/clients/go/gen/gpt_server/embed/v1"
	imagev1 "gpt-server/clients/go/gen/gpt_server/image/v1"
	llmv1 "gpt-server/clients/go/gen/gpt_server/llm/v1"
)

const serviceConfig = `{
  "loadBalancingConfig": [{"round_robin": {}}],
  "methodConfig": [{"name": [{}], "retryPolicy": {
    "maxAttempts": 4, "initialBackoff": "0.2s", "maxBackoff": "2s", "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"]}}]
}`

// Options say how to connect. The zero value is plain text without a token.
type Options struct {
	// TLS encrypts the connection; &tls.Config{} trusts the authorities of the system.
	TLS *tls.Config
	// Token is shown with every call, where the service wants one.
	Token string
}

// Client calls the services behind one address. The deadline of a call is its context's; without one the service's own
// holds (600 s unless configured). Cancelling the context ends the work. Errors are of the type *Error. What has no
// method here is called on the stubs; AsError reads their errors.
type Client struct {
	Audio  audiov1.AudioServiceClient
	Embed  embedv1.EmbedServiceClient
	Image  imagev1.ImageServiceClient
	LLM    llmv1.LLMServiceClient
	Models commonv1.ModelServiceClient

	connection *grpc.ClientConn
}

// Connect returns a client; nothing is sent until the first call. The target is host:port, or a name of gRPC such as
// dns:///models.internal:50051, over whose addresses calls are balanced.
func Connect(target string, options Options) (*Client, error) {
	transport := insecure.NewCredentials()
	if options.TLS != nil {
		transport = credentials.NewTLS(options.TLS)
	}
	dial := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 20 * time.Second}),
	}
	if options.Token != "" {
		dial = append(dial, grpc.WithPerRPCCredentials(bearer(options.Token)))
	}
	connection, err := grpc.NewClient(target, dial...)
	if err != nil {
		return nil, err
	}
	return &Client{
		Audio:      audiov1.NewAudioServiceClient(connection),
		Embed:      embedv1.NewEmbedServiceClient(connection),
		Image:      imagev1.NewImageServiceClient(connection),
		LLM:        llmv1.NewLLMServiceClient(connection),
		Models:     commonv1.NewModelServiceClient(connection),
		connection: connection,
	}, nil
}

// Close closes the connection; calls that still run are cancelled.
func (c *Client) Close() error { return c.connection.Close() }

// bearer is a token that is shown with every call. Plain text is allowed, since networks of services have it.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return false }
