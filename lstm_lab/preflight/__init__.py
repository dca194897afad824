"""Short looks at a training before it starts: shapes and costs, learning rate, batch size, a few batches by heart."""
