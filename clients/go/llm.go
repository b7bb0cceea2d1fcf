package gptserver

import (
	"context"
	"errors"
	"io"
	"iter"

	commonv1 "gpt-server/clients/go/gen/gpt_server/common/v1"
	llmv1 "gpt-server/clients/go/gen/gpt_server/llm/v1"
)

// User returns what a user says, as a message of a chat.
func User(text string) *llmv1.Message {
	part := &commonv1.Part{Content: &commonv1.Part_Text{Text: text}}
	return &llmv1.Message{Role: llmv1.Role_ROLE_USER, Content: []*commonv1.Part{part}}
}

// Generate continues a chat or a prompt and streams all that comes: deltas of every choice, and at last a message with
// Finished. Leaving the loop, or cancelling the context, ends the work. An error is the last thing it yields.
func (c *Client) Generate(
	ctx context.Context, request *llmv1.GenerateRequest,
) iter.Seq2[*llmv1.GenerateResponse, error] {
	return func(yield func(*llmv1.GenerateResponse, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := c.LLM.Generate(ctx, request)
		if err != nil {
			yield(nil, AsError(err))
			return
		}
		finished := false
		for {
			response, err := stream.Recv()
			if errors.Is(err, io.EOF) && finished {
				return
			}
			if err != nil {
				yield(nil, endOf(err))
				return
			}
			finished = response.Finished != nil
			if !yield(response, nil) {
				return
			}
		}
	}
}

// endOf returns the error of a stream that has ended too early.
func endOf(err error) error {
	if errors.Is(err, io.EOF) {
		return unfinished()
	}
	return AsError(err)
}
