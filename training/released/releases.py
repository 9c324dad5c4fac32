"""The releases that can be imported: how each is recognised and converted, and which parameters are left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from training.errors import CheckpointError
from training.models.config import SMALL_3, ImageConfig, PolicyConfig, TextConfig
from training.released.parts import Place, Shape
from training.released.tables import image_table, policy_table

IMAGES = "visual_encoder.image_encoder.model."
"""Prefix of the frozen image encoder in Lightning checkpoints; AllenAct's have it outside, in a preprocessor."""

CRITIC, VALUE_HEAD = "critic_tsfm.", "critic.fc."
"""Prefixes of FLaRe's critic, a network of its own, and in it of its last layer."""

ALLENACT, LIGHTNING = "AllenAct's, with 'model_state_dict'", "Lightning's, with 'state_dict'"

Sizes = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class Release:
    """A released network.

    Attributes:
        name: of the bundle.
        container: the kind of file it comes in.
        head: what its actor's last layer is called.
        config: of our network with the same numbers; its encoders are filled from files.
        algorithm: for the provenance.
        left_out: prefixes of what is in the file and not needed, and why.
    """

    name: str
    container: str
    head: str
    config: PolicyConfig
    algorithm: str
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_images(self) -> bool:
        """True if the file has the image encoder."""
        return self.container == LIGHTNING

    @property
    def size(self) -> Sizes:
        """Width, layers of fusion and decoder, numbers per visual token and per word."""
        config = self.config
        return config.width, config.fusion_layers, config.decoder_layers, config.image.token_width, config.text.width

    def table(self) -> dict[str, Place]:
        """Every parameter that is needed, by its name in the file."""
        inside = {f"{IMAGES}{name}": place for name, place in image_table(self.config).items()}
        return policy_table(self.config, self.head) | (inside if self.has_images else {})


_IMPORTED = replace(
    SMALL_3,
    image=replace(SMALL_3.image, weights="", position_offset=0.1),  # dinov2/hub/backbones.py interpolate_offset
    text=replace(SMALL_3.text, weights=""),
)
_CRITIC = {
    CRITIC: "the critic, a network of its own: for training alone",
    "critic.": "the actor network's value head: for training alone",
}

_SPOC = replace(_IMPORTED, decoder="cross", decoder_ffn=2048)  # PyTorch's default width
_SIGLIP = replace(
    # ViT-B-16-SigLIP-256: open_clip model_configs, timm vit_base_patch16_siglip_256
    _SPOC,
    name="siglip_base_3",
    image=ImageConfig("siglip", 224, 384, rows=7, columns=12, token_width=768, layers=12, heads=12),
    text=TextConfig("siglip", width=768, layers=12, heads=12, ffn=3072),
)
_UNREAD = {
    f"{IMAGES}attn_pool.": "SigLIP's pooling, which the network does not read",
    f"{IMAGES}text.": "SigLIP's text tower a second time, in older files",
    f"{IMAGES}logit_": "SigLIP's loss, in older files",
}

RELEASES = (
    Release("flare_small_3", ALLENACT, "actor.linear", _IMPORTED, "FLaRe (PPO from SPOC's clone)", _CRITIC),
    Release("spoc_small_3_llama", LIGHTNING, "actor", _IMPORTED, "behaviour cloning (FLaRe's SPOC)"),
    Release("spoc_small_3", LIGHTNING, "action_classifier", _SPOC, "behaviour cloning (SPOC)"),
    Release("spoc_siglip_base_3", LIGHTNING, "action_classifier", _SIGLIP, "behaviour cloning (SPOC)", _UNREAD),
)

_SIZE_NAMES: Mapping[Sizes, str] = {
    # (width, fusion layers, decoder layers, per visual token, per word): build_model in SPOC's
    # architecture/models/transformer_models/early_fusion_tsfm_models.py
    (512, 3, 3, 384, 512): "small_3",
    (512, 6, 6, 384, 512): "small_6",
    (512, 3, 3, 768, 512): "base_3",
    (768, 6, 6, 768, 512): "base_6",
    (512, 0, 3, 384, 512): "small_3_nonTxEnc",
    (512, 0, 3, 768, 768): "siglip_base_3_nonTxEnc",
    (512, 3, 3, 768, 768): "siglip_base_3",
    (512, 6, 6, 768, 768): "siglip_base_6",
    (768, 3, 6, 768, 768): "siglip_base_3_6",
    (768, 6, 3, 768, 768): "siglip_base_6_3",
    (768, 6, 6, 768, 768): "siglip_base_6_6",
    (768, 12, 12, 768, 768): "siglip_base_12_12",
    (512, 3, 3, 1024, 1024): "siglip_large_3",
    (512, 3, 3, 2048, 512): "clip_resnet_50_3",
}

RENAMED = {f"{IMAGES}visual.trunk.": IMAGES}
"""Prefixes of older files (LitModel.load_state_dict in SPOC's training/offline/train_pl.py), and what they are now."""

UNREADABLE = {
    "visual_encoder.bbox_pos_encoder.": "a detector's boxes (double_det), which no body of Ferry gives",
    "visual_encoder.coord_pos_enc.": "a detector's boxes (double_det), which no body of Ferry gives",
}
"""Prefixes of inputs that a released network may have and this repository's has not."""


def recognise(shapes: Mapping[str, Shape], container: str, releases: tuple[Release, ...] = RELEASES) -> Release:
    """The release whose head is in a file of that kind, and whose size it has.

    Raises:
        CheckpointError: there is none.
    """
    of_its_kind = [release for release in releases if release.container == container]
    candidates = [release for release in of_its_kind if f"{release.head}.weight" in shapes]
    if not candidates:
        heads = ", ".join(dict.fromkeys(f"{release.head}.weight" for release in of_its_kind))
        raise CheckpointError(f"got none of {heads}, expected the head of an actor with 20 actions ({container})")
    got = _measure(shapes, candidates[0].head)
    for release in candidates:
        if got is None or got == release.size:
            return release
    expected = " or ".join(_described(release.size) for release in candidates)
    raise CheckpointError(f"size: got {_described(got)}, expected {expected}")  # type: ignore[arg-type]  # not None


def _measure(shapes: Mapping[str, Shape], head: str) -> Sizes | None:
    """The sizes of the network in a file; None where what they are read from is missing, which is reported as that."""
    width = shapes[f"{head}.weight"]
    visual = shapes.get("visual_encoder.visual_compressor.0.weight", ())
    text = shapes.get("visual_encoder.text_adapter.0.weight", ())
    if min(len(width), len(visual), len(text)) < 2:
        return None
    layers = (_layers(shapes, "visual_encoder.fusion_xformer.layers."), _layers(shapes, "decoder.layers."))
    return width[1], *layers, visual[1], text[1]


def _layers(shapes: Mapping[str, Shape], prefix: str) -> int:
    return len({name[len(prefix) :].partition(".")[0] for name in shapes if name.startswith(prefix)})


def _described(sizes: Sizes) -> str:
    width, fusion, decoder, visual, text = sizes
    name = _SIZE_NAMES.get(sizes, "a network")
    return f"{name} ({width} wide, {fusion} + {decoder} layers, {visual} per visual token, {text} per word)"
