"""OpenAI requests -> protobuf requests. Pure but for media, which are fetched on the way."""
