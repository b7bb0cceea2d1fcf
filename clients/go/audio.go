package gptserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"os"

	audiov1 "gpt-server/clients/go/gen/gpt_server/audio/v1"
)

const (
	pieceBytes     = 256 * 1024
	wavHeaderBytes = 44
)

// Transcribe sends a sound by pieces, in any form that FFmpeg reads, and yields segments as they are decided; the text
// is all of theirs, joined. Leaving the loop, or cancelling the context, ends the work.
func (c *Client) Transcribe(
	ctx context.Context, config *audiov1.TranscriptionConfig, sound io.Reader,
) iter.Seq2[*audiov1.Segment, error] {
	return func(yield func(*audiov1.Segment, error) bool) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		stream, err := c.Audio.Transcribe(ctx)
		if err != nil {
			yield(nil, AsError(err))
			return
		}
		go func() {
			if err := send(stream, config, sound); err != nil {
				cancel(err)
			}
		}()
		for {
			response, err := stream.Recv()
			if err != nil {
				if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, ctx.Err()) {
					err = cause // the sound could not be read
				}
				yield(nil, endOf(err))
				return
			}
			for _, segment := range response.Segments {
				if !yield(segment, nil) {
					return
				}
			}
			if response.Finished != nil {
				return
			}
		}
	}
}

// send returns an error if the sound cannot be read. That the service takes no more is for the reader of its answer.
func send(stream audiov1.AudioService_TranscribeClient, config *audiov1.TranscriptionConfig, sound io.Reader) error {
	request := &audiov1.TranscribeRequest{Content: &audiov1.TranscribeRequest_Config{Config: config}}
	piece := make([]byte, pieceBytes)
	for {
		if stream.Send(request) != nil {
			return nil
		}
		n, err := sound.Read(piece)
		if n == 0 && errors.Is(err, io.EOF) {
			return stream.CloseSend()
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		request = &audiov1.TranscribeRequest{Content: &audiov1.TranscribeRequest_Audio{Audio: bytes.Clone(piece[:n])}}
	}
}

// Speech says what was written to a file.
type Speech struct {
	Started  *audiov1.SpeechStarted
	Finished *audiov1.SpeechFinished
}

// Synthesize writes speech to a file while it is spoken. A WAV file gets its true lengths at the end.
func (c *Client) Synthesize(ctx context.Context, request *audiov1.SynthesizeRequest, file *os.File) (Speech, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var speech Speech
	stream, err := c.Audio.Synthesize(ctx, request)
	if err != nil {
		return speech, AsError(err)
	}
	for length := uint32(0); ; {
		response, err := stream.Recv()
		if err != nil {
			return speech, endOf(err)
		}
		if response.Started != nil {
			speech.Started = response.Started
		}
		if _, err := file.Write(response.Audio); err != nil {
			return speech, err
		}
		length += uint32(len(response.Audio))
		if response.Finished != nil {
			speech.Finished = response.Finished
			return speech, writeLengths(file, speech.Started.GetFormat(), length)
		}
	}
}

// writeLengths mends the header of a WAV file, which is sent before the length is known.
func writeLengths(file *os.File, format audiov1.AudioFormat, length uint32) error {
	if format != audiov1.AudioFormat_AUDIO_FORMAT_WAV || length < wavHeaderBytes {
		return nil
	}
	for place, value := range map[int64]uint32{4: length - 8, 40: length - wavHeaderBytes} {
		if _, err := file.WriteAt(binary.LittleEndian.AppendUint32(nil, value), place); err != nil {
			return err
		}
	}
	return nil
}
