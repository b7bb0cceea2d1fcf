// Command speak writes speech to a WAV file: speak ADDRESS MODEL TEXT FILE.
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
	address, model, text, path := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	client, err := gptserver.Connect(address, gptserver.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	file, err := os.Create(path)
	if err != nil {
		log.Fatal(err)
	}
	format := audiov1.AudioFormat_AUDIO_FORMAT_WAV
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	request := &audiov1.SynthesizeRequest{Model: model, Input: text, Format: &format}
	speech, err := client.Synthesize(ctx, request, file)
	if err != nil {
		log.Fatal(err)
	}
	if err := file.Close(); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.2f s at %d Hz\n", speech.Finished.DurationS, speech.Started.SampleRateHz)
}
