"""Makes the demo's ear: a small SenseVoiceSmall that understands a closed grammar of spoken English."""
