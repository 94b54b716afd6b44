"""Names of networks in other software, and what timm calls them."""

import re

import timm

_TORCHVISION = {
    "mobilenet_v2": "mobilenetv2_100",
    "mobilenet_v3_large": "mobilenetv3_large_100",
    "mobilenet_v3_small": "mobilenetv3_small_100",
    "mnasnet0_5": "mnasnet_050",
    "mnasnet0_75": "mnasnet_075",
    "mnasnet1_0": "mnasnet_100",
    "efficientnet_v2_s": "efficientnetv2_s",
    "efficientnet_v2_m": "efficientnetv2_m",
    "efficientnet_v2_l": "efficientnetv2_l",
    "swin_t": "swin_tiny_patch4_window7_224",
    "swin_s": "swin_small_patch4_window7_224",
    "swin_b": "swin_base_patch4_window7_224",
    "swin_v2_t": "swinv2_tiny_window8_256",
    "swin_v2_s": "swinv2_small_window8_256",
    "swin_v2_b": "swinv2_base_window8_256",
    "vit_b_16": "vit_base_patch16_224",
    "vit_b_32": "vit_base_patch32_224",
    "vit_l_16": "vit_large_patch16_224",
    "vit_l_32": "vit_large_patch32_224",
    "vit_h_14": "vit_huge_patch14_224",
    "maxvit_t": "maxvit_tiny_tf_224",
}
_SIZES = {
    "400mf": "004",
    "800mf": "008",
    "1_6gf": "016",
    "3_2gf": "032",
    "8gf": "080",
    "16gf": "160",
    "32gf": "320",
}
_HUB = re.compile(r"^(?:hf[-_]hub:|https?://huggingface\.co/|local-dir:)?(?:[\w.-]+/)?(.+?)/?$")


def timm_name(name: str) -> str | None:
    """Return the name of timm's network for a name from elsewhere, with its tag where that exists.

    >>> timm_name("hf_hub:timm/resnet18.a1_in1k"), timm_name("mobilenet_v2"), timm_name("ViT_B_16")
    ('resnet18.a1_in1k', 'mobilenetv2_100', 'vit_base_patch16_224')
    >>> timm_name("regnet_y_400mf"), timm_name("my network")
    ('regnety_004', None)
    """
    found = _HUB.match(name.strip())
    short = found.group(1) if found and len(name) <= 200 else name
    bare, _, tag = short.partition(".")
    for known in (bare, bare.lower(), bare.lower().replace("-", "_")):
        known = _TORCHVISION.get(known, _regnet(known))
        if timm.is_model(known):
            tagged = f"{known}.{tag}"
            return tagged if tag and tagged in timm.list_pretrained(f"{known}.*") else known
    return None


def _regnet(name: str) -> str:
    """Return timm's name of a torchvision RegNet; any other name as it is."""
    found = re.fullmatch(r"regnet_([xy])_(\w+)", name)
    return f"regnet{found[1]}_{_SIZES.get(found[2], found[2])}" if found else name
