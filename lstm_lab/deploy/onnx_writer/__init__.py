"""A trained model as an ONNX graph: nodes written from its weights, without tracing the whole model."""
