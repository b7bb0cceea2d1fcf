"""Makes the heads of demo-rerank and demo-moderation, and measures them, in a checkout."""
