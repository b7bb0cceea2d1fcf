package gptserver

import (
	"context"
	"encoding/binary"
	"errors"
	"math"

	embedv1 "gpt-server/clients/go/gen/gpt_server/embed/v1"
)

// EmbedFloats returns a vector for each input. For other formats than FLOAT32 call Embed.Embed.
func (c *Client) EmbedFloats(ctx context.Context, request *embedv1.EmbedRequest) ([][]float32, error) {
	if request.Format != nil && request.GetFormat() != embedv1.VectorFormat_VECTOR_FORMAT_FLOAT32 {
		return nil, errors.New("EmbedFloats returns FLOAT32; for other formats call Client.Embed.Embed")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Embed.Embed(ctx, request)
	if err != nil {
		return nil, AsError(err)
	}
	vectors := make([][]float32, 0, len(request.Inputs))
	for {
		response, err := stream.Recv()
		if err != nil {
			return nil, endOf(err)
		}
		size := int(response.RowBytes)
		for rows := response.Vectors; len(rows) > 0; rows = rows[size:] {
			vectors = append(vectors, floats(rows[:size]))
		}
		if response.Finished != nil {
			return vectors, nil
		}
	}
}

func floats(row []byte) []float32 {
	numbers := make([]float32, len(row)/4)
	for i := range numbers {
		numbers[i] = math.Float32frombits(binary.LittleEndian.Uint32(row[4*i:]))
	}
	return numbers
}
