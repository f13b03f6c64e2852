"""The graph between front ends and files: values, nodes, shape rules and the verifier."""
