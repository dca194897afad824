"""What is done to samples before a model sees them: tokens, augmentation, batching, splits."""
