"""Tiny models, random weights, in the on-disk formats of the families that people serve: one folder each."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
CORPUS = [
    "how do I reset my password",
    "open the settings and choose a new password yes no",
    "water boils at one hundred degrees",
    "hello world ä 水 query document",
]
SIZES: Mapping[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,  # of 32 numbers each: vLLM's attention on the CPU knows no smaller ones
    "intermediate_size": 64,
    "max_position_embeddings": 130,
    "initializer_range": 0.3,  # so that the first token's state depends on the others
}
BERT: Mapping[str, Any] = {"vocab_size": 400, "pad_token_id": 1, **SIZES}
QWEN3: Mapping[str, Any] = {"vocab_size": 400, "num_key_value_heads": 2, "head_dim": 32, **SIZES}
PAIR_TEMPLATE = "{% for message in messages %}<s>{{ message.role }}: {{ message.content }}</s>{% endfor %}<s>assistant:"


def _tokenizer(**options: Any) -> PreTrainedTokenizerFast:
    """Byte pairs, with a sentence's begin and end as RoBERTa writes them."""
    raw = Tokenizer(models.BPE(unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=[*SPECIAL, "yes", "no"], initial_alphabet=alphabet)
    raw.train_from_iterator(CORPUS, trainer)
    raw.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    made: PreTrainedTokenizerFast = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<s>",
        cls_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        sep_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_max_length=128,
        **options,
    )
    return made


def _save(folder: Path, model: Any, tokenizer: Any) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _bert(folder: Path, pooling: str, **labels: Any) -> Path:
    config = transformers.BertConfig(**BERT, **labels)
    if labels:
        return _save(folder, transformers.BertForSequenceClassification(config), _tokenizer())
    return _embedding(folder, transformers.BertModel(config), _tokenizer(), pooling)


def _embedding(folder: Path, model: Any, tokenizer: Any, pooling: str, **options: Any) -> Path:
    """The library's own format, which embedding models are published in: transformer, pooling, scaling."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

    plain = _save(folder.with_name(folder.name + "-plain"), model, tokenizer)
    transformer = Transformer(str(plain), max_seq_length=128)
    modules = [transformer, Pooling(transformer.get_embedding_dimension(), pooling), Normalize()]
    SentenceTransformer(modules=modules, device="cpu", **options).save(str(folder), create_model_card=False)
    return folder


def bert(folder: Path) -> Path:
    """bge, bce, acge, Yinka, xiaobu, Conan, ritrieve, MiniLM: BERT, the first token's state."""
    return _bert(folder, "cls")


def bert_plain(folder: Path) -> Path:
    """BERT as transformers stores it, without the library's modules: for engines that pool by themselves."""
    return _save(folder, transformers.BertModel(transformers.BertConfig(**BERT)), _tokenizer())


def xlm_roberta(folder: Path) -> Path:
    """bge-m3, bce, multilingual-e5: XLM-RoBERTa, the mean of all states, and prompts."""
    config = transformers.XLMRobertaConfig(vocab_size=400, pad_token_id=1, **SIZES)
    prompts = {"query": "query: ", "passage": "passage: "}
    return _embedding(folder, transformers.XLMRobertaModel(config), _tokenizer(), "mean", prompts=prompts)


def qwen3_embedding(folder: Path) -> Path:
    """Qwen3-Embedding: a causal model, the last token's state, padded on the left."""
    tokenizer = _tokenizer(padding_side="left")
    prompts = {"query": "Instruct: find what answers\nQuery:", "document": ""}
    model = transformers.Qwen3Model(transformers.Qwen3Config(**QWEN3))
    return _embedding(folder, model, tokenizer, "lasttoken", prompts=prompts)


def qwen3_plain(folder: Path) -> Path:
    """Qwen3-Embedding as its repository declares it, `Qwen3ForCausalLM`, without the library's modules."""
    return _save(folder, transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**QWEN3)), _tokenizer())


def jina_v3(folder: Path) -> Path:
    """jina-embeddings-v3 as transformers has it (`jinaai/jina-embeddings-v3-hf`), without code of its own."""
    config = transformers.JinaEmbeddingsV3Config(vocab_size=400, pad_token_id=1, **SIZES)
    prompts = {"retrieval.query": "Represent the query: ", "retrieval.passage": "Represent the document: "}
    return _embedding(folder, transformers.JinaEmbeddingsV3Model(config), _tokenizer(), "mean", prompts=prompts)


def xlm_roberta_reranker(folder: Path) -> Path:
    """bge-reranker-v2-m3, bce-reranker: XLM-RoBERTa with one score."""
    one: dict[str, Any] = {"num_labels": 1}
    config = transformers.XLMRobertaConfig(vocab_size=400, pad_token_id=1, **SIZES, **one)
    return _save(folder, transformers.XLMRobertaForSequenceClassification(config), _tokenizer())


def qwen3_reranker(folder: Path) -> Path:
    """Qwen3-Reranker: a causal model that answers yes or no, with a template for query and document."""
    tokenizer = _tokenizer(padding_side="left", chat_template=PAIR_TEMPLATE)
    return _save(folder, transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**QWEN3)), tokenizer)


def bert_moderation(folder: Path) -> Path:
    """Classifiers made of BERT: one label of several is right."""
    labels = {0: "OK", 1: "S", 2: "V"}
    return _bert(folder, "cls", num_labels=3, id2label=labels, label2id={name: i for i, name in labels.items()})


def _deberta(folder: Path, *labels: str) -> Path:
    options: dict[str, Any] = {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 16,
        "id2label": dict(enumerate(labels)),
        "label2id": {name: i for i, name in enumerate(labels)},
    }
    config = transformers.DebertaV2Config(vocab_size=400, pad_token_id=1, **SIZES, **options)
    return _save(folder, transformers.DebertaV2ForSequenceClassification(config), _tokenizer())


def deberta_injection(folder: Path) -> Path:
    """Prompt-injection models: DeBERTa-v2, SAFE or INJECTION."""
    return _deberta(folder, "SAFE", "INJECTION")


def deberta_moderation(folder: Path) -> Path:
    """KoalaAI/Text-Moderation: DeBERTa-v2, one label of nine is right."""
    return _deberta(folder, "S", "H", "V", "HR", "SH", "S3", "H2", "V2", "OK")


def clip(folder: Path) -> Path:
    """bge-vl: CLIP, texts and pictures in one space."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer

    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = transformers.CLIPConfig(
        text_config={**size, "vocab_size": 400, "max_position_embeddings": 130, "eos_token_id": 2, "pad_token_id": 1},
        vision_config={**size, "image_size": 32, "patch_size": 8},
        projection_dim=24,
    )
    pictures = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor: Any = transformers.CLIPProcessor(image_processor=pictures, tokenizer=_tokenizer())
    plain = _save(folder.with_name(folder.name + "-plain"), transformers.CLIPModel(config), processor)
    model = SentenceTransformer(modules=[Transformer(str(plain))], device="cpu")
    model.save(str(folder), create_model_card=False)
    return folder


VISION_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
PICTURE_TEMPLATE = (
    "{% for message in messages %}<s>{{ message.role }}: {% if message.content is string %}{{ message.content }}"
    "{% else %}{% for part in message.content %}{% if part.type == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}</s>"
    "{% endfor %}<s>assistant:"
)


def qwen2_vl_reranker(folder: Path) -> Path:
    """jina-reranker-m0's kind: Qwen2-VL that answers yes or no, texts and pictures on either side of a pair."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.cross_encoder.modules import LogitScore

    tokenizer = _tokenizer(padding_side="left", extra_special_tokens=list(VISION_TOKENS))
    ids: Any = tokenizer.convert_tokens_to_ids(list(VISION_TOKENS))
    start, end, image, video = ids
    config = transformers.Qwen2VLConfig(
        text_config={
            **SIZES,
            "vocab_size": len(tokenizer),
            "num_key_value_heads": 2,
            "max_position_embeddings": 256,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 6, 6]},
        },
        vision_config={"depth": 1, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "patch_size": 8},
        vision_start_token_id=start,
        vision_end_token_id=end,
        image_token_id=image,
        video_token_id=video,
    )
    pictures: dict[str, Any] = {"patch_size": 8, "size": {"shortest_edge": 32 * 32, "longest_edge": 48 * 48}}
    processor: Any = transformers.Qwen2VLProcessor(
        transformers.Qwen2VLImageProcessor(**pictures),
        tokenizer,
        transformers.Qwen2VLVideoProcessor(**pictures),
        chat_template=PICTURE_TEMPLATE,
    )
    model = transformers.Qwen2VLForConditionalGeneration(config)
    plain = _save(folder.with_name(folder.name + "-plain"), model, processor)
    answers: Any = tokenizer.convert_tokens_to_ids(["yes", "no"])
    yes, no = answers
    modules = [Transformer(str(plain), transformer_task="any-to-any"), LogitScore(yes, no)]
    CrossEncoder(modules=modules, device="cpu").save(str(folder), create_model_card=False)
    return folder


BUILDERS: Mapping[str, Callable[[Path], Path]] = {
    build.__name__: build
    for build in (
        bert,
        bert_plain,
        xlm_roberta,
        qwen3_embedding,
        qwen3_plain,
        jina_v3,
        clip,
        xlm_roberta_reranker,
        qwen3_reranker,
        qwen2_vl_reranker,
        bert_moderation,
        deberta_injection,
        deberta_moderation,
    )
}


def build(name: str, folder: Path) -> Path:
    """Builds one of `BUILDERS`, the same each time."""
    torch.manual_seed(7)
    return BUILDERS[name](folder / name)
