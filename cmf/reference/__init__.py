"""The numpy evaluator: what FORMAT.md section 5 means, written to be read. It follows the document, never the C."""

from cmf.reference.evaluator import Evaluator, evaluate, evaluate_node

__all__ = ["Evaluator", "evaluate", "evaluate_node"]
