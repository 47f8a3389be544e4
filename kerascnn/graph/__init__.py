"""Work with the graph of a Keras model: list its calls, run a part, copy it, find logits, softmax and features."""
