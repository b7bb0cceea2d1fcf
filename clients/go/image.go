package gptserver

import (
	"context"

	imagev1 "gpt-server/clients/go/gen/gpt_server/image/v1"
)

// Image is a finished image: Header says its seed, size and format, Content is its file.
type Image struct {
	Header  *imagev1.ImageHeader
	Content []byte
}

// GenerateImages makes images and returns them in order, without previews. After each step onProgress, unless it is nil,
// is told how many steps are done, and how many there are.
func (c *Client) GenerateImages(
	ctx context.Context, request *imagev1.GenerateRequest, onProgress func(step, steps int),
) ([]Image, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Image.Generate(ctx, request)
	if err != nil {
		return nil, AsError(err)
	}
	var images []Image
	var image Image
	for {
		response, err := stream.Recv()
		if err != nil {
			return nil, endOf(err)
		}
		if progress := response.GetProgress(); progress != nil && onProgress != nil {
			onProgress(int(progress.Step), int(progress.Steps))
		}
		if part := response.GetImagePart(); part != nil {
			if part.Header != nil {
				image = Image{Header: part.Header}
			}
			image.Content = append(image.Content, part.Content...)
			if part.Last && image.Header.Preview == nil {
				images = append(images, image)
			}
		}
		if response.GetFinished() != nil {
			return images, nil
		}
	}
}
