"""What a network is made of, learned from one forward pass: its stages, its last layer, every shape."""

import math
from typing import Any, NamedTuple

import timm.layers
import torch
from torch import Tensor, nn

from tutelage.models.feature_hooks import sample_input
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
_TOKEN_STAGES = 4
"""Transformer blocks do not change in size: this many, evenly spaced, stand for stages."""


class _Seen(NamedTuple):
    """A module that has been called. given, gave: what went in and came out; version: of gave, then; place:
    height and width of a map.
    """

    path: str
    module: nn.Module
    given: Tensor
    gave: Tensor
    version: int
    place: tuple[int, ...]


def inspect_network(classifier: Classifier, size: int) -> NetworkInfo:
    """Show a network one blank image and note what each of its modules is given and returns.

    Its activations no longer write in place afterwards: what comes before them is otherwise lost to terms
    that look there. Nothing else changes.

    Args:
        classifier: the network.
        size: of the stored images, in pixels.

    Returns:
        Its anatomy. Stages are those that the network names in timm's way, and else end where height and
        width change; a network of tokens [B, N, C] has four.
    """
    network = classifier.network
    for module in network.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # type: ignore[assignment]
    calls, logits = _watch(classifier, size)
    overwritten = frozenset(call.path for call in calls if call.gave._version != call.version)
    shapes = {}
    for call in calls:
        shapes[call.path] = _shape(network, call.gave)
        shapes[f"{call.path}.input"] = _shape(network, call.given)
    last = next((c for c in reversed(calls) if isinstance(c.module, nn.Linear)), None)
    vector, head = None, None
    if last is not None and last.gave is logits and last.given.ndim == 2:
        vector = FeaturePoint(f"{last.path}.input", tuple(last.given.shape[1:]))
        head = _frozen(last.module)
    stages = _stages(network, calls)
    return NetworkInfo(type(network).__name__, stages, vector, head, shapes, overwritten)


def _watch(classifier: Classifier, size: int) -> tuple[list[_Seen], Tensor]:
    """Every call of a module that takes and returns a tensor, in the order in which they end."""
    calls: list[_Seen] = []
    network = classifier.network

    def note(path: str) -> Any:
        def hook(module: nn.Module, given: tuple[Any, ...], gave: Any) -> None:
            if isinstance(gave, Tensor) and given and isinstance(given[0], Tensor):
                place = _shape(network, gave)[1:] if gave.ndim == 4 else ()
                calls.append(_Seen(path, module, given[0], gave, gave._version, place))

        return hook

    hooks = [m.register_forward_hook(note(path)) for path, m in network.named_modules() if path]
    training = classifier.training
    device = classifier.preprocess.mean.device
    image = torch.zeros(1, 3, size, size, dtype=torch.uint8, device=device)
    try:
        with torch.no_grad():
            logits = classifier.eval()(image).logits
    finally:
        for hook in hooks:
            hook.remove()
        classifier.train(training)
    return calls, logits


def _shape(network: nn.Module, tensor: Tensor) -> tuple[int, ...]:
    return tuple(sample_input(network, tensor).shape[1:])


def _frozen(linear: nn.Module) -> tuple[Tensor, Tensor]:
    assert isinstance(linear, nn.Linear)
    weight = linear.weight.detach().clone()
    bias = weight.new_zeros(len(weight)) if linear.bias is None else linear.bias.detach().clone()
    return weight, bias


def _stages(network: nn.Module, calls: list[_Seen]) -> tuple[Stage, ...]:
    maps, tokens = _map_ends(calls), _token_ends(calls)
    if told := _told_ends(network, calls):
        smallest = math.prod(told[-1].place)
        maps = told + [end for end in maps if math.prod(end.place) < smallest]
    ends = tokens if len(maps) <= 1 and len(tokens) > 1 else maps
    stages: list[Stage] = []
    for end in ends:
        whole = sum(_is_layer(part) for part in end.module.modules()) > 1
        around = bool(stages) and stages[-1].end.path.startswith(f"{end.path}.")
        if (whole and not around) or end.gave.ndim == 3:
            entry = FeaturePoint(f"{end.path}.input", _shape(network, end.given))
        elif stages:
            entry = stages[-1].end
        else:
            first = next(call for call in calls if call.place == end.place and call.gave.ndim == 4)
            entry = FeaturePoint(first.path, _shape(network, first.gave))
        shape = _shape(network, end.gave)
        act = next((c for c in calls if c.gave is end.gave and _is_activation(c.module)), None)
        before = FeaturePoint(f"{act.path}.input" if act else end.path, shape)
        norm = _norm_before(calls, act) if act else None
        stages.append(Stage(entry, before, FeaturePoint(end.path, shape), norm))
    return tuple(stages)


def _told_ends(network: nn.Module, calls: list[_Seen]) -> list[_Seen]:
    """The stages that a network names itself in timm's way, where it names maps of several."""
    told = {info.get("module") for info in getattr(network, "feature_info", ()) if info}
    ends = [
        call
        for call in calls
        if call.path in told and call.gave.ndim == 4 and any(map(_is_layer, call.module.modules()))
    ]
    return ends if len({call.place for call in ends}) > 1 else []


def _map_ends(calls: list[_Seen]) -> list[_Seen]:
    """The last map of each size on the main way; a stem of one layer is no stage, nor is what has none."""
    sizes = {call.path: call.place for call in calls}
    opaque = {call.path for call in calls if type(call.module) is not nn.Sequential}

    def leads_elsewhere(call: _Seen) -> bool:
        """Inside a block that ends in another size, as the first layer of a block with a stride is."""
        parts = call.path.split(".")
        around = [".".join(parts[:n]) for n in range(1, len(parts))]
        return any(path in opaque and sizes[path] != call.place for path in around)

    groups: dict[tuple[int, ...], list[_Seen]] = {}
    for call in _main_way(calls):
        if not leads_elsewhere(call):
            groups.setdefault(call.place, []).append(call)
    layers = {place: sum(_is_layer(c.module) for c in group) for place, group in groups.items()}
    ends = [(group[-1], layers[place]) for place, group in groups.items() if layers[place]]
    if len(ends) > 1 and ends[0][1] == 1:
        ends = ends[1:]
    return [end for end, _ in ends]


def _main_way(calls: list[_Seen]) -> list[_Seen]:
    """The maps up to the last pooling, without side ways such as squeeze-and-excitation."""
    # What only passes on would count twice, and attention's weights by head look like maps.
    calls = [call for call in calls if not isinstance(call.module, _NO_LAYERS)]
    areas = [math.prod(call.place) if len(call.place) == 2 else 1 for call in calls]
    # Side ways are smaller than something later; behind the last pooling nothing is larger than a point.
    largest = [max(areas[i:]) for i in range(len(calls))]
    pooled = [i for i, c in enumerate(calls) if _is_pooling(c.module) and largest[i] == 1]
    end = pooled[-1] if pooled else len(calls)
    return [
        call
        for i, call in enumerate(calls[:end])
        if call.gave.ndim == 4 and areas[i] >= largest[i] and not _is_pooling(call.module)
    ]


def _is_layer(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d | nn.Linear)


def _token_ends(calls: list[_Seen]) -> list[_Seen]:
    """Evenly spaced blocks: of modules of one kind that return tokens, the most that one container holds."""
    tokens = [call for call in calls if call.gave.ndim == 3 and "." in call.path]
    kinds: dict[tuple[str, type], list[_Seen]] = {}
    for call in tokens:
        kinds.setdefault((call.path.rpartition(".")[0], type(call.module)), []).append(call)
    # Of as many the outermost: its first one ends after all that lies in it.
    blocks = max(reversed(kinds.values()), key=len, default=[])
    count = min(_TOKEN_STAGES, len(blocks))
    return [blocks[(i + 1) * len(blocks) // count - 1] for i in range(count)]


def _is_activation(module: nn.Module) -> bool:
    return isinstance(module, _ACTIVATIONS)


def _is_pooling(module: nn.Module) -> bool:
    return "Pool" in type(module).__name__


def _norm_before(calls: list[_Seen], act: _Seen) -> tuple[Tensor, Tensor] | None:
    """Weight and bias of the BatchNorm that an activation is a part of, or of the last one beside it."""
    parent = act.path.rpartition(".")[0]
    before = calls[: next(i for i, call in enumerate(calls) if call is act)]
    beside = [c.module for c in before if c.path.rpartition(".")[0] == parent]
    beside += [c.module for c in calls if c.path == parent]
    norms = [module for module in beside if isinstance(module, nn.BatchNorm2d) and module.affine]
    if not norms:
        return None
    return norms[-1].weight.detach().clone(), norms[-1].bias.detach().clone()
