"""Makes demo-image, a text-to-image model in FLUX's format, and measures it, in a checkout."""
