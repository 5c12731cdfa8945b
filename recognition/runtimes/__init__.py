"""ONNX Runtime, PyTorch and Triton behind one TensorRunner: a float32 batch in, raw outputs out."""
