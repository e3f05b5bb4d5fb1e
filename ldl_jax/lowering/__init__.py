"""Turns functions of JAX into ONNX models, so that other programs can run them.

- `convert`: `to_onnx`, which traces a function and lowers what it does.
- `steps`: the traced function as one list of primitives, and `known`, what of it needs no input.
- `values` and `builder`: where arrays lie in the graph, and the graph while it grows.
- `elementwise`, `shapes`, `products`, `reductions`, `gathers`: the ONNX form of each primitive.
"""

from ldl_jax.lowering.convert import to_onnx

__all__ = ["to_onnx"]
