"""The parameters of released checkpoints: their names, their shapes, and where each goes in our network.

Names and shapes are facts of public code, written down here from
- FLaRe (github JiahengHu/FLaRe, 656f46a) architecture/models/allenact_transformer_models/allenact_dino_transformer.py,
  training/online/third_party_models/llama/model.py (names alone), architecture/models/transformer_models/;
- SPOC (github allenai/spoc-robot-training, baaa237) architecture/models/transformer_models/;
- DINOv2 (github facebookresearch/dinov2) dinov2/models/vision_transformer.py;
- T5 in transformers, models/t5/modeling_t5.py.

Sizes in shapes: d width, v numbers per visual token, t per word, f and g inner widths of the layers of the fusion
transformer and of the decoder, w vocabulary, h heads and u inner width of T5, n places of DINOv2's position table.
On the right `x.{a,b}` are equal parts of the first dimension, `x[1]` is a row of x, `-` is not a weight of ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from training.config import PolicyConfig
from training.text_encoder import T5_VOCABULARY

Shape = tuple[int, ...]

POSITIONS = 37 * 37 + 1  # DINOv2 was trained on 518 x 518 pixels in patches of 14; and the class token
T5_DISTANCES = 32  # buckets of T5's relative positions


@dataclass(frozen=True)
class Place:
    """The shape of one of their parameters, and its name in our network."""

    shape: Shape
    ours: str


@dataclass(frozen=True)
class Part:
    """Some parameters with a common prefix; `layers` is what counts them where they repeat."""

    theirs: str
    ours: str
    rows: str
    layers: str = ""


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

T5 = Part(
    "visual_encoder.text_encoder.",
    "text_encoder.model.",
    f"""
    shared.weight                                                          w,t  shared.weight
    encoder.embed_tokens.weight                                            w,t  encoder.embed_tokens.weight
    encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight   {T5_DISTANCES},h  \
encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight
    encoder.final_layer_norm.weight                                        t    encoder.final_layer_norm.weight
    """,
)
T5_BLOCKS = Part(
    "visual_encoder.text_encoder.encoder.block.",
    "text_encoder.model.encoder.block.",
    """
    layer.0.SelfAttention.q.weight    t,t  layer.0.SelfAttention.q.weight
    layer.0.SelfAttention.k.weight    t,t  layer.0.SelfAttention.k.weight
    layer.0.SelfAttention.v.weight    t,t  layer.0.SelfAttention.v.weight
    layer.0.SelfAttention.o.weight    t,t  layer.0.SelfAttention.o.weight
    layer.0.layer_norm.weight         t    layer.0.layer_norm.weight
    layer.1.DenseReluDense.wi.weight  u,t  layer.1.DenseReluDense.wi.weight
    layer.1.DenseReluDense.wo.weight  t,u  layer.1.DenseReluDense.wo.weight
    layer.1.layer_norm.weight         t    layer.1.layer_norm.weight
    """,
    layers="text",
)

DINO = Part(
    "",
    "image_encoder.model.",
    """
    cls_token                1,1,v      embeddings.cls_token
    pos_embed                1,n,v      embeddings.position_embeddings
    mask_token               1,v        embeddings.mask_token
    patch_embed.proj.weight  v,3,14,14  embeddings.patch_embeddings.projection.weight
    patch_embed.proj.bias    v          embeddings.patch_embeddings.projection.bias
    norm.weight              v          layernorm.weight
    norm.bias                v          layernorm.bias
    """,
)
DINO_BLOCKS = Part(
    "blocks.",
    "image_encoder.model.encoder.layer.",
    """
    norm1.weight      v     norm1.weight
    norm1.bias        v     norm1.bias
    attn.qkv.weight   3v,v  attention.{q_proj,k_proj,v_proj}.weight
    attn.qkv.bias     3v    attention.{q_proj,k_proj,v_proj}.bias
    attn.proj.weight  v,v   attention.o_proj.weight
    attn.proj.bias    v     attention.o_proj.bias
    ls1.gamma         v     layer_scale1.lambda1
    norm2.weight      v     norm2.weight
    norm2.bias        v     norm2.bias
    mlp.fc1.weight    4v,v  mlp.fc1.weight
    mlp.fc1.bias      4v    mlp.fc1.bias
    mlp.fc2.weight    v,4v  mlp.fc2.weight
    mlp.fc2.bias      v     mlp.fc2.bias
    ls2.gamma         v     layer_scale2.lambda1
    """,
    layers="image",
)

DECODERS: Mapping[str, tuple[Part, ...]] = {"causal": (CAUSAL, CAUSAL_END), "cross": (CROSS,)}


def policy_table(config: PolicyConfig, head: str) -> dict[str, Place]:
    """All but the image encoder; `head` is what they call the actor's last layer."""
    actor = Part(f"{head}.", "actor.", "weight 20,d weight\nbias 20 bias")
    return _table((TRUNK, FUSION, *DECODERS[config.decoder], actor, T5, T5_BLOCKS), config)


def image_table(config: PolicyConfig) -> dict[str, Place]:
    """The image encoder, as torch.hub gives it."""
    return _table((DINO, DINO_BLOCKS), config)


def _table(parts: tuple[Part, ...], config: PolicyConfig) -> dict[str, Place]:
    sizes, layers = _sizes(config), _layers(config)
    return {
        f"{part.theirs}{layer}{theirs}": Place(
            _shape(shape, sizes), ours if ours == "-" else f"{part.ours}{layer}{ours}"
        )
        for part in parts
        for layer in ([f"{i}." for i in range(layers[part.layers])] if part.layers else [""])
        for theirs, shape, ours in _rows(part)
    }


def _rows(part: Part) -> Iterator[tuple[str, str, str]]:
    for line in part.rows.strip().splitlines():
        theirs, shape, ours = line.split()
        yield theirs, shape, ours


def _shape(text: str, sizes: Mapping[str, int]) -> Shape:
    """(1536, 512) of "3d,d"."""
    return tuple(_size(one, sizes) for one in text.split(","))


def _size(text: str, sizes: Mapping[str, int]) -> int:
    if text.isdigit():
        return int(text)
    if text.endswith("/2"):
        return sizes[text[:-2]] // 2
    return int(text[:-1] or 1) * sizes[text[-1]]


def _layers(config: PolicyConfig) -> dict[str, int]:
    return {
        "fusion": config.fusion_layers,
        "decoder": config.decoder_layers,
        "text": config.text.layers,
        "image": config.image.layers,
    }


def _sizes(config: PolicyConfig) -> dict[str, int]:
    return {
        "d": config.width,
        "v": config.image.token_width,
        "t": config.text.width,
        "f": config.fusion_ffn,
        "g": config.decoder_ffn,
        "w": T5_VOCABULARY,
        "h": config.text.heads,
        "u": config.text.ffn,
        "n": POSITIONS,
    }
