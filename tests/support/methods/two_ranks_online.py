"""Steps of each online method by one of several processes: `two_ranks_online RANK FOLDER`."""

import torch
from torch import Tensor

from support.methods.online import SGD, batches, network, published, teaching, train, training_facts
from support.two_processes import meet
from tutelage.config.losses.feature import HintConfig
from tutelage.config.losses.relation import RKDDistanceConfig
from tutelage.config.losses.response import KDConfig, LabelConfig
from tutelage.config.methods import DMLConfig, MethodConfig, MethodOptions, OnlineEnsembleConfig
from tutelage.config.objective import LossConfig
from tutelage.distributed import World
from tutelage.methods.factory import build_method

FEATURES = LossConfig(
    label=LabelConfig(weight=1.0),
    kd=KDConfig(weight=1.0),
    hint=HintConfig(),
    rkd_distance=RKDDistanceConfig(weight=5.0),
)


def settings() -> dict[str, MethodConfig]:
    """Each method, with all that could depend on who sees which images."""
    return {
        "dml": teaching("dml", FEATURES),
        "turns": teaching("dml", FEATURES, methods=MethodOptions(dml=DMLConfig(alternate=True))),
        "gate": teaching("one", published()),
        "least-loss": teaching(
            "one",
            published(),
            methods=MethodOptions(one=OnlineEnsembleConfig(combine="least-loss")),
        ),
        "joint": teaching("joint", FEATURES),
    }


SPOILT, LEFT_OUT = "joint, spoilt", "joint, left out"
"""The second of three batches is not finite in an image of the last process; or it is not shown at all."""


def trained(name: str, world: World) -> dict[str, Tensor]:
    """The terms of each step, and everything the method remembers after the last; in float64."""
    networks = [network(seed).double() for seed in range(2)]
    about = settings()[name.partition(",")[0]]
    method = build_method(about, networks[0], networks[1:], training_facts()).double()
    shown = batches()
    if name == SPOILT:
        images = shown[1].images.float()
        images[-1, 0, 0, 0] = torch.nan
        shown[1] = shown[1]._replace(images=images)
    elif name == LEFT_OUT:
        del shown[1]
    if world.size > 1:
        share = world.share(len(shown[0].ids))
        mine = slice(share.start, share.stop)
        shown = [
            batch._replace(
                images=batch.images[mine],
                labels=batch.labels[mine],
                ids=batch.ids[mine],
                whole=len(batch.ids),
            )
            for batch in shown
        ]
    steps = train(method, SGD, shown, world)
    found = {f"{n} {term}": value for n, step in enumerate(steps) for term, value in step.items()}
    return found | {f"state {key}": t.clone() for key, t in method.state_dict().items()}


if __name__ == "__main__":
    meet(trained, [*settings(), SPOILT, LEFT_OUT])
