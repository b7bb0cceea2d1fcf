"""The services: one folder per modality, and `common`, which knows none of them."""
