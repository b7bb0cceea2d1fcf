// Command transcribe writes down what is said in a file: transcribe ADDRESS MODEL FILE.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	gptserver "gpt-server/clients/go"
	audiov1 "gpt-server/clients/go/gen/gpt_server/audio/v1"
)

func main() {
	address, model, path := os.Args[1], os.Args[2], os.Args[3]
	client, err := gptserver.Connect(address, gptserver.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	sound, err := os.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer sound.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for segment, err := range client.Transcribe(ctx, &audiov1.TranscriptionConfig{Model: model}, sound) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(segment.Text)
	}
	fmt.Println()
}
