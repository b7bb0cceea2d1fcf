"""Makes demo-chat, the small chat model that shows the path through GPT Server."""
