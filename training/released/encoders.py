"""The frozen encoders' parameters, as torch.hub, timm, open_clip and transformers name them.

- DINOv2: github facebookresearch/dinov2 dinov2/models/vision_transformer.py; n places of its position table.
- T5: transformers models/t5/modeling_t5.py; h heads, u inner width, w vocabulary.
- SigLIP: timm models/vision_transformer.py (images) and open_clip transformer.py TextTransformer (texts).
v numbers per visual token, t per word; see `tables` for the notation on the right.
"""

from __future__ import annotations

from collections.abc import Mapping

from training.models.config import PolicyConfig
from training.models.siglip import CONTEXT, PATCH, SIDE, VOCABULARY
from training.models.text_encoder import T5_VOCABULARY
from training.released.parts import Part

T5_DISTANCES = 32  # buckets of T5's relative positions

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

SIGLIP_IMAGES = Part(
    "",
    "image_encoder.model.",
    """
    pos_embed                1,n,v      embeddings.position_embedding.weight
    patch_embed.proj.weight  v,3,16,16  embeddings.patch_embedding.weight
    patch_embed.proj.bias    v          embeddings.patch_embedding.bias
    norm.weight              v          post_layernorm.weight
    norm.bias                v          post_layernorm.bias
    """,
)
SIGLIP_IMAGE_BLOCKS = Part(
    "blocks.",
    "image_encoder.model.encoder.layers.",
    """
    norm1.weight      v     layer_norm1.weight
    norm1.bias        v     layer_norm1.bias
    attn.qkv.weight   3v,v  self_attn.{q_proj,k_proj,v_proj}.weight
    attn.qkv.bias     3v    self_attn.{q_proj,k_proj,v_proj}.bias
    attn.proj.weight  v,v   self_attn.out_proj.weight
    attn.proj.bias    v     self_attn.out_proj.bias
    norm2.weight      v     layer_norm2.weight
    norm2.bias        v     layer_norm2.bias
    mlp.fc1.weight    4v,v  mlp.fc1.weight
    mlp.fc1.bias      4v    mlp.fc1.bias
    mlp.fc2.weight    v,4v  mlp.fc2.weight
    mlp.fc2.bias      v     mlp.fc2.bias
    """,
    layers="image",
)

SIGLIP_WORDS = Part(
    "visual_encoder.text_encoder.",
    "text_encoder.model.",
    f"""
    positional_embedding    {CONTEXT},t  embeddings.position_embedding.weight
    token_embedding.weight  w,t          embeddings.token_embedding.weight
    ln_final.weight         t            final_layer_norm.weight
    ln_final.bias           t            final_layer_norm.bias
    text_projection.weight  t,t          head.weight
    text_projection.bias    t            head.bias
    """,
)
SIGLIP_WORD_BLOCKS = Part(
    "visual_encoder.text_encoder.transformer.resblocks.",
    "text_encoder.model.encoder.layers.",
    """
    ln_1.weight           t     layer_norm1.weight
    ln_1.bias             t     layer_norm1.bias
    attn.in_proj_weight   3t,t  self_attn.{q_proj,k_proj,v_proj}.weight
    attn.in_proj_bias     3t    self_attn.{q_proj,k_proj,v_proj}.bias
    attn.out_proj.weight  t,t   self_attn.out_proj.weight
    attn.out_proj.bias    t     self_attn.out_proj.bias
    ln_2.weight           t     layer_norm2.weight
    ln_2.bias             t     layer_norm2.bias
    mlp.c_fc.weight       u,t   mlp.fc1.weight
    mlp.c_fc.bias         u     mlp.fc1.bias
    mlp.c_proj.weight     t,u   mlp.fc2.weight
    mlp.c_proj.bias       t     mlp.fc2.bias
    """,
    layers="text",
)

IMAGE_PARTS: Mapping[str, tuple[Part, ...]] = {
    "dino": (DINO, DINO_BLOCKS),
    "siglip": (SIGLIP_IMAGES, SIGLIP_IMAGE_BLOCKS),
}
TEXT_PARTS: Mapping[str, tuple[Part, ...]] = {"t5": (T5, T5_BLOCKS), "siglip": (SIGLIP_WORDS, SIGLIP_WORD_BLOCKS)}


def encoder_sizes(config: PolicyConfig) -> dict[str, int]:
    """Values of the letters that only the encoders use."""
    return {
        "n": {"dino": 37 * 37 + 1, "siglip": (SIDE // PATCH) ** 2}[config.image.kind],  # DINOv2's is of 518 pixels
        "w": {"t5": T5_VOCABULARY, "siglip": VOCABULARY}[config.text.kind],
        "h": config.text.heads,
        "u": config.text.ffn,
    }
