"""How a model learns the next stage without losing those before: each in its file."""
