"""Vectors, scores and labels: `gpt_server.embed.v1.EmbedService` over any `EmbedEngine`."""
