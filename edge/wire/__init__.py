"""What the model says -> the bytes that OpenAI's clients read."""
