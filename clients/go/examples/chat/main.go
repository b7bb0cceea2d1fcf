// Command chat streams an answer: chat ADDRESS MODEL TEXT [TEMPERATURE].
//
// GPT_SERVER_CA names a file with the authority of a service that speaks TLS, GPT_SERVER_TOKEN is a token.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	gptserver "gpt-server/clients/go"
	llmv1 "gpt-server/clients/go/gen/gpt_server/llm/v1"
)

func main() {
	address, model, text := os.Args[1], os.Args[2], os.Args[3]
	client, err := gptserver.Connect(address, options())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	maxTokens, temperature := int32(200), float32(0)
	if len(os.Args) > 4 {
		number, err := strconv.ParseFloat(os.Args[4], 32)
		if err != nil {
			log.Fatal(err)
		}
		temperature = float32(number)
	}
	request := &llmv1.GenerateRequest{
		Model:    model,
		Prompt:   &llmv1.GenerateRequest_Chat{Chat: &llmv1.Chat{Messages: []*llmv1.Message{gptserver.User(text)}}},
		Sampling: &llmv1.Sampling{Temperature: &temperature, MaxTokens: &maxTokens},
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for response, err := range client.Generate(ctx, request) {
		var failure *gptserver.Error
		if errors.As(err, &failure) {
			log.Fatalf("%v %v %s: %s", failure.Code, failure.Reason, failure.Field, failure.Message)
		}
		for _, delta := range response.Deltas {
			fmt.Print(delta.Content)
		}
		if finished := response.Finished; finished != nil {
			fmt.Printf("\n%v, %d tokens\n", finished.Choices[0].FinishReason, finished.Usage.CompletionTokens)
		}
	}
}

func options() gptserver.Options {
	options := gptserver.Options{Token: os.Getenv("GPT_SERVER_TOKEN")}
	if file := os.Getenv("GPT_SERVER_CA"); file != "" {
		authority, err := os.ReadFile(file)
		if err != nil {
			log.Fatal(err)
		}
		trusted := x509.NewCertPool()
		trusted.AppendCertsFromPEM(authority)
		options.TLS = &tls.Config{RootCAs: trusted}
	}
	return options
}
