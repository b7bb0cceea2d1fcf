"""Pictures: `gpt_server.image.v1.ImageService` over any `ImageEngine`."""
