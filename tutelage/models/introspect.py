"""Find the structure of a network from one forward pass: its stages, its last layer, every shape."""

import math
from typing import Any, NamedTuple

import timm.layers
import torch
from torch import Tensor, nn

from tutelage.config.image_size import ImageSize
from tutelage.models.feature_hooks import channels_first
from tutelage.models.preprocess import Classifier
from tutelage.types import FeaturePoint, NetworkInfo, Stage

_ACTIVATIONS = tuple(
    cls
    for home in (nn.modules.activation, timm.layers.activations)
    for name, cls in vars(home).items()
    if isinstance(cls, type)
    and issubclass(cls, nn.Module)
    and not any(part in name for part in ("Softmax", "Multihead", "Module"))
)
_NO_LAYERS = (nn.Identity, nn.Flatten, nn.Dropout, nn.Softmax)
"""Modules that only pass their input on."""
_TOKEN_STAGES = 4
"""Transformer blocks do not change in size: this many, evenly spaced, are taken as stages."""


class _Call(NamedTuple):
    """One call of a module."""

    path: str
    module: nn.Module
    given: Tensor
    """Its first input."""
    output: Tensor
    version: int
    """Of the output, when it was returned; changes when the tensor is written to."""
    size: tuple[int, ...]
    """Height and width of the output, if it is a map."""


def inspect_network(classifier: Classifier, size: ImageSize) -> NetworkInfo:
    """Run a network on one blank image and return the structure of what its modules take and return.

    Its activations no longer work in place afterwards: otherwise the features before them, which some losses
    compare, would be overwritten. Nothing else changes.

    Args:
        classifier: the network.
        size: of the stored images, in pixels.

    Returns:
        Its structure. Stages are those the network lists in timm's way; otherwise they end where height and
        width change. A network of tokens [B, N, C] has four.
    """
    network = classifier.network
    for module in network.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # type: ignore[assignment]
    calls, logits = _watch(classifier, size)
    overwritten = frozenset(call.path for call in calls if call.output._version != call.version)
    shapes = {}
    for call in calls:
        shapes[call.path] = _shape(network, call.output)
        shapes[f"{call.path}.input"] = _shape(network, call.given)
    last = next((c for c in reversed(calls) if isinstance(c.module, nn.Linear)), None)
    vector, head = None, None
    if last is not None and last.output is logits and last.given.ndim == 2:
        vector = FeaturePoint(f"{last.path}.input", tuple(last.given.shape[1:]))
        head = _frozen(last.module)
    stages = _stages(network, calls)
    return NetworkInfo(type(network).__name__, stages, vector, head, shapes, overwritten)


def _watch(classifier: Classifier, size: ImageSize) -> tuple[list[_Call], Tensor]:
    """Return each call of a module that takes and returns a tensor, in the order they end, and the logits."""
    calls: list[_Call] = []
    network = classifier.network

    def note(path: str) -> Any:
        def hook(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
            if isinstance(output, Tensor) and given and isinstance(given[0], Tensor):
                side = _shape(network, output)[1:] if output.ndim == 4 else ()
                calls.append(_Call(path, module, given[0], output, output._version, side))

        return hook

    hooks = [m.register_forward_hook(note(path)) for path, m in network.named_modules() if path]
    training = classifier.training
    image = classifier.blank(size)
    try:
        with torch.no_grad():
            logits = classifier.eval()(image).logits
    finally:
        for hook in hooks:
            hook.remove()
        classifier.train(training)
    return calls, logits


def _shape(network: nn.Module, tensor: Tensor) -> tuple[int, ...]:
    return tuple(channels_first(network, tensor).shape[1:])


def _frozen(linear: nn.Module) -> tuple[Tensor, Tensor]:
    assert isinstance(linear, nn.Linear)
    weight = linear.weight.detach().clone()
    bias = weight.new_zeros(len(weight)) if linear.bias is None else linear.bias.detach().clone()
    return weight, bias


def _stages(network: nn.Module, calls: list[_Call]) -> tuple[Stage, ...]:
    maps, tokens = _map_ends(calls), _token_ends(calls)
    if listed := _listed_ends(network, calls):
        smallest = math.prod(listed[-1].size)
        maps = listed + [end for end in maps if math.prod(end.size) < smallest]
    ends = tokens if len(maps) <= 1 and len(tokens) > 1 else maps
    stages: list[Stage] = []
    for end in ends:
        whole = sum(_is_layer(part) for part in end.module.modules()) > 1
        around = bool(stages) and stages[-1].end.path.startswith(f"{end.path}.")
        if (whole and not around) or end.output.ndim == 3:
            entry = FeaturePoint(f"{end.path}.input", _shape(network, end.given))
        elif stages:
            entry = stages[-1].end
        else:
            first = next(call for call in calls if call.size == end.size and call.output.ndim == 4)
            entry = FeaturePoint(first.path, _shape(network, first.output))
        shape = _shape(network, end.output)
        act = next((c for c in calls if c.output is end.output and _is_activation(c.module)), None)
        before = FeaturePoint(f"{act.path}.input" if act else end.path, shape)
        norm = _norm_before(calls, act) if act else None
        stages.append(Stage(entry, before, FeaturePoint(end.path, shape), norm))
    return tuple(stages)


def _listed_ends(network: nn.Module, calls: list[_Call]) -> list[_Call]:
    """Return the stages a network lists in timm's way, where it lists maps of several sizes."""
    listed = {info.get("module") for info in getattr(network, "feature_info", ()) if info}
    ends = [
        call
        for call in calls
        if call.path in listed
        and call.output.ndim == 4
        and any(map(_is_layer, call.module.modules()))
    ]
    return ends if len({call.size for call in ends}) > 1 else []


def _map_ends(calls: list[_Call]) -> list[_Call]:
    """Return the last map of each size on the main path; a stem of one layer, or no layer, is no stage."""
    sizes = {call.path: call.size for call in calls}
    opaque = {call.path for call in calls if type(call.module) is not nn.Sequential}

    def leads_elsewhere(call: _Call) -> bool:
        """Return whether a call is inside a block that ends in another size, such as one with a stride."""
        parts = call.path.split(".")
        around = [".".join(parts[:n]) for n in range(1, len(parts))]
        return any(path in opaque and sizes[path] != call.size for path in around)

    groups: dict[tuple[int, ...], list[_Call]] = {}
    for call in _main_path(calls):
        if not leads_elsewhere(call):
            groups.setdefault(call.size, []).append(call)
    layers = {size: sum(_is_layer(c.module) for c in group) for size, group in groups.items()}
    ends = [(group[-1], layers[size]) for size, group in groups.items() if layers[size]]
    if len(ends) > 1 and ends[0][1] == 1:
        ends = ends[1:]
    return [end for end, _ in ends]


def _main_path(calls: list[_Call]) -> list[_Call]:
    """Return the maps up to the last pooling, without side branches such as squeeze-and-excitation."""
    # Pass-through modules would count twice, and the dropout of attention weights looks like a map.
    calls = [call for call in calls if not isinstance(call.module, _NO_LAYERS)]
    areas = [math.prod(call.size) if len(call.size) == 2 else 1 for call in calls]
    # Side branches are smaller than something later; after the last pooling all maps are 1 x 1.
    largest = [max(areas[i:]) for i in range(len(calls))]
    pooled = [i for i, c in enumerate(calls) if _is_pooling(c.module) and largest[i] == 1]
    end = pooled[-1] if pooled else len(calls)
    return [
        call
        for i, call in enumerate(calls[:end])
        if call.output.ndim == 4 and areas[i] >= largest[i] and not _is_pooling(call.module)
    ]


def _is_layer(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d | nn.Linear)


def _token_ends(calls: list[_Call]) -> list[_Call]:
    """Return evenly spaced blocks of the largest group of modules of one class that return tokens."""
    tokens = [call for call in calls if call.output.ndim == 3 and "." in call.path]
    kinds: dict[tuple[str, type], list[_Call]] = {}
    for call in tokens:
        kinds.setdefault((call.path.rpartition(".")[0], type(call.module)), []).append(call)
    # Of groups of equal length the outermost: its first block ends after everything inside it.
    blocks = max(reversed(kinds.values()), key=len, default=[])
    count = min(_TOKEN_STAGES, len(blocks))
    return [blocks[(i + 1) * len(blocks) // count - 1] for i in range(count)]


def _is_activation(module: nn.Module) -> bool:
    return isinstance(module, _ACTIVATIONS)


def _is_pooling(module: nn.Module) -> bool:
    return "Pool" in type(module).__name__


def _norm_before(calls: list[_Call], act: _Call) -> tuple[Tensor, Tensor] | None:
    """Return weight and bias of the BatchNorm an activation is part of, or of the last one beside it."""
    parent = act.path.rpartition(".")[0]
    before = calls[: next(i for i, call in enumerate(calls) if call is act)]
    beside = [c.module for c in before if c.path.rpartition(".")[0] == parent]
    beside += [c.module for c in calls if c.path == parent]
    norms = [module for module in beside if isinstance(module, nn.BatchNorm2d) and module.affine]
    if not norms:
        return None
    return norms[-1].weight.detach().clone(), norms[-1].bias.detach().clone()
