"""What a model does with samples, collected once for the page, W&B and the API."""
