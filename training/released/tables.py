"""The parameters of released checkpoints: their names, their shapes, and where each goes in our network.

Names and shapes are facts of public code, listed here from
- FLaRe (github JiahengHu/FLaRe, 656f46a) architecture/models/allenact_transformer_models/allenact_dino_transformer.py,
  training/online/third_party_models/llama/model.py (names alone), architecture/models/transformer_models/;
- SPOC (github allenai/spoc-robot-training, baaa237) architecture/models/transformer_models/.

Sizes in shapes: d width, v numbers per visual token, t per word, f and g inner widths of the layers of the fusion
transformer and of the decoder.
On the right `x.{a,b}` are equal parts of the first dimension, `x[1]` is a row of x, `-` is not a weight of ours.
"""

from __future__ import annotations

from collections.abc import Mapping

from training.models.config import PolicyConfig
from training.released.encoders import IMAGE_PARTS, TEXT_PARTS, encoder_sizes
from training.released.parts import Part, Place, table_of

TRUNK = Part(
    "",
    "",
    """
    visual_encoder.fusion_token                                  d        fusion.token
    visual_encoder.visual_sensor_token_raw_navigation_camera     d        visual.camera[0]
    visual_encoder.visual_sensor_token_raw_manipulation_camera   d        visual.camera[1]
    visual_encoder.visual_compressor.0.weight                    d,v,1,1  visual.compressor.0.weight
    visual_encoder.visual_compressor.0.bias                      d        visual.compressor.0.bias
    visual_encoder.visual_compressor.2.weight                    d,d,1,1  visual.compressor.2.weight
    visual_encoder.visual_compressor.2.bias                      d        visual.compressor.2.bias
    visual_encoder.visual_adapter.0.weight                       d,d      visual.adapter.0.weight
    visual_encoder.visual_adapter.0.bias                         d        visual.adapter.0.bias
    visual_encoder.visual_adapter.1.weight                       d        visual.adapter.1.weight
    visual_encoder.visual_adapter.1.bias                         d        visual.adapter.1.bias
    visual_encoder.text_adapter.0.weight                         d,t      text_adapter.0.weight
    visual_encoder.text_adapter.0.bias                           d        text_adapter.0.bias
    visual_encoder.text_adapter.1.weight                         d        text_adapter.1.weight
    visual_encoder.text_adapter.1.bias                           d        text_adapter.1.bias
    last_actions_embed.weight                                    22,d     previous_action.weight
    object_in_hand_embed.weight                                  3,d      in_hand.weight
    time_encoder.div_term                                        d/2      -
    """,
)

FUSION = Part(
    "visual_encoder.fusion_xformer.layers.",
    "fusion.encoder.layers.",
    """
    self_attn.in_proj_weight   3d,d  self_attn.in_proj_weight
    self_attn.in_proj_bias     3d    self_attn.in_proj_bias
    self_attn.out_proj.weight  d,d   self_attn.out_proj.weight
    self_attn.out_proj.bias    d     self_attn.out_proj.bias
    linear1.weight             f,d   linear1.weight
    linear1.bias               f     linear1.bias
    linear2.weight             d,f   linear2.weight
    linear2.bias               d     linear2.bias
    norm1.weight               d     norm1.weight
    norm1.bias                 d     norm1.bias
    norm2.weight               d     norm2.weight
    norm2.bias                 d     norm2.bias
    """,
    layers="fusion",
)

CAUSAL = Part(
    "decoder.layers.",
    "decoder.layers.",
    """
    attention.wq.weight     d,d  attention.query.weight
    attention.wk.weight     d,d  attention.key.weight
    attention.wv.weight     d,d  attention.value.weight
    attention.wo.weight     d,d  attention.out.weight
    feed_forward.w1.weight  g,d  feed.gate.weight
    feed_forward.w2.weight  d,g  feed.down.weight
    feed_forward.w3.weight  g,d  feed.up.weight
    attention_norm.weight   d    attention_norm.weight
    ffn_norm.weight         d    feed_norm.weight
    """,
    layers="decoder",
)
CAUSAL_END = Part(
    "decoder.",
    "decoder.",
    """
    norm.weight    d    norm.weight
    output.weight  d,d  out.weight
    """,
)

CROSS = Part(
    "decoder.layers.",
    "decoder.layers.",
    """
    self_attn.in_proj_weight        3d,d  attention.{query,key,value}.weight
    self_attn.in_proj_bias          3d    attention.{query,key,value}.bias
    self_attn.out_proj.weight       d,d   attention.out.weight
    self_attn.out_proj.bias         d     attention.out.bias
    multihead_attn.in_proj_weight   3d,d  reading.{query,key,value}.weight
    multihead_attn.in_proj_bias     3d    reading.{query,key,value}.bias
    multihead_attn.out_proj.weight  d,d   reading.out.weight
    multihead_attn.out_proj.bias    d     reading.out.bias
    linear1.weight                  g,d   feed.0.weight
    linear1.bias                    g     feed.0.bias
    linear2.weight                  d,g   feed.2.weight
    linear2.bias                    d     feed.2.bias
    norm1.weight                    d     attention_norm.weight
    norm1.bias                      d     attention_norm.bias
    norm2.weight                    d     reading_norm.weight
    norm2.bias                      d     reading_norm.bias
    norm3.weight                    d     feed_norm.weight
    norm3.bias                      d     feed_norm.bias
    """,
    layers="decoder",
)

DECODERS: Mapping[str, tuple[Part, ...]] = {"causal": (CAUSAL, CAUSAL_END), "cross": (CROSS,)}


def policy_table(config: PolicyConfig, head: str) -> dict[str, Place]:
    """All but the image encoder; `head` is what they call the actor's last layer."""
    actor = Part(f"{head}.", "actor.", "weight 20,d weight\nbias 20 bias")
    parts = (TRUNK, FUSION, *DECODERS[config.decoder], actor, *TEXT_PARTS[config.text.kind])
    return table_of(parts, _sizes(config), _layers(config))


def image_table(config: PolicyConfig) -> dict[str, Place]:
    """The image encoder as in torch.hub or timm."""
    return table_of(IMAGE_PARTS[config.image.kind], _sizes(config), _layers(config))


def _layers(config: PolicyConfig) -> dict[str, int]:
    return {
        "fusion": config.fusion_layers,
        "decoder": config.decoder_layers,
        "text": config.text.layers,
        "image": config.image.layers,
    }


def _sizes(config: PolicyConfig) -> dict[str, int]:
    return encoder_sizes(config) | {
        "d": config.width,
        "v": config.image.token_width,
        "t": config.text.width,
        "f": config.fusion_ffn,
        "g": config.decoder_ffn,
    }
