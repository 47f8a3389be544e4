"""What a Keras graph is: walk it, run a part of it, copy it, find its logits, softmax and features."""
