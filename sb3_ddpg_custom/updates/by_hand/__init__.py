"""The update with every gradient written out, on preallocated tensors."""
