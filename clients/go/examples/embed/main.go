// Command embed compares texts with the first: embed ADDRESS MODEL TEXT TEXT…
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	gptserver "gpt-server/clients/go"
	embedv1 "gpt-server/clients/go/gen/gpt_server/embed/v1"
)

func main() {
	address, model, texts := os.Args[1], os.Args[2], os.Args[3:]
	client, err := gptserver.Connect(address, gptserver.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	request := &embedv1.EmbedRequest{Model: model}
	for _, text := range texts {
		request.Inputs = append(request.Inputs, &embedv1.Input{Content: &embedv1.Input_Text{Text: text}})
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	vectors, err := client.EmbedFloats(ctx, request)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d vectors of %d numbers\n", len(vectors), len(vectors[0]))
	for i, text := range texts[1:] {
		fmt.Printf("%.4f %s\n", product(vectors[0], vectors[i+1]), text)
	}
}

// product is the cosine of the angle between two vectors of length 1.
func product(a, b []float32) float32 {
	var sum float32
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}
