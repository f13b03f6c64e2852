"""What compression did: a line for each layer, and sums."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from rich.table import Table


def sqnr(reference: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Signal to error in dB: ``10 log10(sum r^2 / sum (r - o)^2)``; infinite where they are equal."""
    reference = reference.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        noise = float(np.square(reference - other).sum())
        signal = float(np.square(reference).sum())
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 and math.isfinite(noise) else -math.inf


@dataclass(frozen=True)
class LayerReport:
    """One weight.

    ``weight_sqnr`` and ``output_sqnr`` in dB; the latter is that of the layer alone, given its inputs in the network as
    it was, and None without calibration inputs. ``algorithms``: those that looked at calibration inputs. ``notes``:
    steps of the recipe that were left out, and why.
    """

    name: str
    node: str
    op: str
    kinds: tuple[str, ...]
    tree: str
    compute: str
    shape: tuple[int, ...]
    weights: int
    bytes: int
    weight_sqnr: float
    output_sqnr: float | None = None
    algorithms: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def bits_per_weight(self) -> float:
        return 8 * self.bytes / self.weights


@dataclass(frozen=True)
class Report:
    """All layers.

    ``outputs``: SQNR in dB of the network's outputs with all layers compressed, given calibration inputs.
    ``other_bytes``: constants that are no weights (biases, norms, shapes). ``dropped``: channels that gave the same
    number for every input and are gone, by the depthwise weight that they were channels of.
    """

    model: str
    recipe: str
    layers: tuple[LayerReport, ...]
    other_bytes: int
    outputs: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def weights(self) -> int:
        return sum(layer.weights for layer in self.layers)

    @property
    def bytes(self) -> int:
        """Encoded bytes of weights and other constants, before any byte codec; a file has its metadata in addition."""
        return sum(layer.bytes for layer in self.layers) + self.other_bytes

    @property
    def bits_per_weight(self) -> float:
        return 8 * sum(layer.bytes for layer in self.layers) / max(1, self.weights)

    @property
    def ratio(self) -> float:
        """Bytes of the same constants with f32 weights, over :attr:`bytes`."""
        return (4 * self.weights + self.other_bytes) / max(1, self.bytes)

    @property
    def notes(self) -> dict[str, tuple[str, ...]]:
        """What was left out of the recipe, by layer."""
        return {layer.name: layer.notes for layer in self.layers if layer.notes}

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON: infinite SQNRs are None."""
        layers = [{**asdict(layer), "bits_per_weight": layer.bits_per_weight} for layer in self.layers]
        plain: dict[str, Any] = _finite({
            "model": self.model, "recipe": self.recipe, "weights": self.weights, "bytes": self.bytes,
            "other_bytes": self.other_bytes, "bits_per_weight": self.bits_per_weight, "ratio": self.ratio,
            "seconds": self.seconds, "outputs": self.outputs, "dropped": self.dropped, "layers": layers})
        return plain

    def to_json(self, indent: int | None = 2) -> str:
        return json.dumps(self.to_dict(), indent=indent)

    def table(self) -> Table:
        """For ``rich.print``."""
        from rich.table import Table

        table = Table(title=f"{self.model}: {self.recipe}", caption=self.summary())
        for title, justify in (("layer", "left"), ("op", "left"), ("encoding", "left"), ("compute", "left"),
                               ("weights", "right"), ("bits/weight", "right"), ("bytes", "right"),
                               ("weight dB", "right"), ("output dB", "right"), ("notes", "left")):
            table.add_column(title, justify=justify, overflow="fold")  # type: ignore[arg-type]
        for layer in self.layers:
            table.add_row(layer.node or layer.name, layer.op, layer.tree, layer.compute, f"{layer.weights:,}",
                          f"{layer.bits_per_weight:.2f}", f"{layer.bytes:,}", _decibel(layer.weight_sqnr),
                          "" if layer.output_sqnr is None else _decibel(layer.output_sqnr), "; ".join(layer.notes))
        return table

    def summary(self) -> str:
        """One line."""
        text = (f"{self.weights:,} weights, {self.bits_per_weight:.2f} bits each; {self.bytes:,} bytes, "
                f"{self.ratio:.1f} times smaller")
        if self.dropped:
            text += f"; {sum(self.dropped.values())} channels that never change dropped"
        if self.outputs:
            text += "; outputs " + ", ".join(f"{name}: {_decibel(value)} dB" for name, value in self.outputs.items())
        return text


def _decibel(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else ("exact" if value > 0 else "lost")


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
