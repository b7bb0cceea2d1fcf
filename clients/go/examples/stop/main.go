// Command stop ends a long answer in two ways, by cancelling and by a deadline: stop ADDRESS MODEL.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	gptserver "gpt-server/clients/go"
	commonv1 "gpt-server/clients/go/gen/gpt_server/common/v1"
	llmv1 "gpt-server/clients/go/gen/gpt_server/llm/v1"
)

func main() {
	address, model := os.Args[1], os.Args[2]
	client, err := gptserver.Connect(address, gptserver.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	messages := []*llmv1.Message{gptserver.User("Count from 1 to 1000.")}
	ignoreEOS := true
	endless := &llmv1.GenerateRequest{
		Model:    model,
		Prompt:   &llmv1.GenerateRequest_Chat{Chat: &llmv1.Chat{Messages: messages}},
		Sampling: &llmv1.Sampling{IgnoreEos: &ignoreEOS},
	}
	for response, err := range client.Generate(context.Background(), endless) {
		if err != nil {
			log.Fatal(err)
		}
		if len(response.Deltas) > 0 {
			fmt.Println("first piece:", strings.TrimSpace(response.Deltas[0].Content))
			break // cancels the call
		}
	}
	untilIdle(client, model)

	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	for _, err := range client.Generate(ctx, endless) {
		var failure *gptserver.Error
		if errors.As(err, &failure) {
			fmt.Println(failure.Code)
		}
	}
}

// untilIdle waits until the service says that nothing runs.
func untilIdle(client *gptserver.Client, model string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	watch, err := client.Models.Watch(ctx, &commonv1.WatchRequest{})
	for err == nil {
		var picture *commonv1.WatchResponse
		picture, err = watch.Recv()
		for _, status := range picture.GetModels() {
			if status.Model.Name == model && status.Running == 0 {
				fmt.Println("running: 0")
				return
			}
		}
	}
	log.Fatal(gptserver.AsError(err))
}
