"""Every known term by name, and where it lives. Adding one is a line here.

A term's file is imported when the term is used: nobody waits for thirty ideas to load.
"""

import zlib
from collections.abc import Mapping
from importlib import import_module

import torch

from tutelage.config.loss_weights import loss_weights, selected_losses
from tutelage.config.objective import ObjectiveConfig
from tutelage.config.plugins import custom_loss, not_a_pair
from tutelage.losses.term import BuildContext, Term

TERMS: Mapping[str, str] = {
    "label": "cross_entropy:LabelTerm",
    "kd": "response.kd:KDTerm",
    "dkd": "response.dkd:DKDTerm",
    "dist": "response.dist:DISTTerm",
    "nkd": "response.nkd:NKDTerm",
    "wsld": "response.wsld:WSLDTerm",
    "mlkd": "response.mlkd:MLKDTerm",
    "ttm": "response.ttm:TTMTerm",
    "logit_mse": "response.logit_mse:LogitMSETerm",
    "hard_label": "response.hard_label:HardLabelTerm",
    "hint": "feature.hint:HintTerm",
    "attention": "feature.attention:AttentionTerm",
    "nst": "feature.nst:NSTTerm",
    "vid": "feature.vid:VIDTerm",
    "ab": "feature.ab:ABTerm",
    "ft": "feature.ft:FTTerm",
    "ofd": "feature.ofd:OFDTerm",
    "review": "feature.review:ReviewTerm",
    "simkd": "feature.simkd:SimKDTerm",
    "crd": "feature.crd:CRDTerm",
    "mgd": "feature.mgd:MGDTerm",
    "srrl": "feature.srrl:SRRLTerm",
    "kdpp": "feature.kdpp:KDPPTerm",
    "fsp": "relation.fsp:FSPTerm",
    "rkd_distance": "relation.rkd_distance:RKDDistanceTerm",
    "rkd_angle": "relation.rkd_angle:RKDAngleTerm",
    "similarity": "relation.similarity:SimilarityTerm",
    "correlation": "relation.correlation:CorrelationTerm",
    "pkt": "relation.pkt:PKTTerm",
    "icc": "relation.icc:ICCTerm",
    "irg": "relation.irg:IRGTerm",
}


def term_class(name: str) -> type[Term]:
    """The class of a term of the table, or of one of the user's own.

    Raises:
        UsageError: the user's own is no `Term`.
    """
    if name not in TERMS:
        own = custom_loss(name)
        if not issubclass(own.term, Term):
            raise not_a_pair(name, (own.settings, own.term), own.where)
        return own.term
    module, _, cls = TERMS[name].partition(":")
    found: type[Term] = getattr(import_module(f"tutelage.losses.{module}"), cls)
    return found


def build_terms(
    objective: ObjectiveConfig, ground: BuildContext, *, seed: int = 0
) -> dict[str, Term]:
    """The terms of an objective whose weight is not 0, in the order of the table.

    Args:
        objective: the settings.
        ground: what is known of the two networks.
        seed: of random adapters; each term has numbers of its own, whatever stands beside it.
    """
    settings, made = selected_losses(objective), {}
    for name in loss_weights(objective):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + zlib.crc32(name.encode()))
            made[name] = term_class(name).build(settings[name], ground)
    return made
