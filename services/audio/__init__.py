"""Speech to text and text to speech: `gpt_server.audio.v1.AudioService` over any `AudioEngine`."""
