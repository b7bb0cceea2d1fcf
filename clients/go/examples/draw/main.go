// Command draw draws a picture: draw ADDRESS MODEL TEXT FILE.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	gptserver "gpt-server/clients/go"
	imagev1 "gpt-server/clients/go/gen/gpt_server/image/v1"
)

func main() {
	address, model, text, path := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	client, err := gptserver.Connect(address, gptserver.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	seed := int64(1)
	request := &imagev1.GenerateRequest{Model: model, Prompt: text, Options: &imagev1.Options{Seed: &seed}}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	images, err := client.GenerateImages(ctx, request, func(step, steps int) {
		fmt.Printf("step %d of %d\n", step, steps)
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(path, images[0].Content, 0o644); err != nil {
		log.Fatal(err)
	}
	header := images[0].Header
	fmt.Printf("%d × %d, seed %d\n", header.WidthPx, header.HeightPx, header.Seed)
}
