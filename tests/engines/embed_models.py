"""Tiny models, random weights, in the on-disk formats of the families that people serve: one folder each."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
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
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 130,
    "initializer_range": 0.3,  # so that the first token's state depends on the others
}
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
    made: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
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
    config = transformers.BertConfig(vocab_size=400, pad_token_id=1, **SIZES, **labels)
    if labels:
        return _save(folder, transformers.BertForSequenceClassification(config), _tokenizer())
    return _embedding(folder, transformers.BertModel(config), _tokenizer(), pooling)


def _embedding(folder: Path, model: Any, tokenizer: Any, pooling: str, **options: Any) -> Path:
    """The library's own format, which embedding models are published in: transformer, pooling, scaling."""
    plain = _save(folder.with_name(folder.name + "-plain"), model, tokenizer)
    transformer = Transformer(str(plain), max_seq_length=128)
    modules = [transformer, Pooling(transformer.get_embedding_dimension(), pooling), Normalize()]
    SentenceTransformer(modules=modules, device="cpu", **options).save(str(folder), create_model_card=False)
    return folder


def bert(folder: Path) -> Path:
    """bge, bce, acge, Yinka, xiaobu, Conan, ritrieve, MiniLM: BERT, the first token's state."""
    return _bert(folder, "cls")


def xlm_roberta(folder: Path) -> Path:
    """bge-m3, bce, multilingual-e5: XLM-RoBERTa, the mean of all states, and prompts."""
    config = transformers.XLMRobertaConfig(vocab_size=400, pad_token_id=1, **SIZES)
    prompts = {"query": "query: ", "passage": "passage: "}
    return _embedding(folder, transformers.XLMRobertaModel(config), _tokenizer(), "mean", prompts=prompts)


def qwen3_embedding(folder: Path) -> Path:
    """Qwen3-Embedding: a causal model, the last token's state, padded on the left."""
    config = transformers.Qwen3Config(vocab_size=400, num_key_value_heads=2, head_dim=8, **SIZES)
    tokenizer = _tokenizer(padding_side="left")
    prompts = {"query": "Instruct: find what answers\nQuery:", "document": ""}
    return _embedding(folder, transformers.Qwen3Model(config), tokenizer, "lasttoken", prompts=prompts)


def xlm_roberta_reranker(folder: Path) -> Path:
    """bge-reranker-v2-m3, bce-reranker: XLM-RoBERTa with one score."""
    one: dict[str, Any] = {"num_labels": 1}
    config = transformers.XLMRobertaConfig(vocab_size=400, pad_token_id=1, **SIZES, **one)
    return _save(folder, transformers.XLMRobertaForSequenceClassification(config), _tokenizer())


def qwen3_reranker(folder: Path) -> Path:
    """Qwen3-Reranker: a causal model that answers yes or no, with a template for query and document."""
    config = transformers.Qwen3Config(vocab_size=400, num_key_value_heads=2, head_dim=8, **SIZES)
    tokenizer = _tokenizer(padding_side="left", chat_template=PAIR_TEMPLATE)
    return _save(folder, transformers.Qwen3ForCausalLM(config), tokenizer)


def bert_moderation(folder: Path) -> Path:
    """KoalaAI/Text-Moderation and its like: one label of several is right."""
    labels = {0: "OK", 1: "S", 2: "V"}
    return _bert(folder, "cls", num_labels=3, id2label=labels, label2id={name: i for i, name in labels.items()})


def deberta_injection(folder: Path) -> Path:
    """Prompt-injection models: DeBERTa-v2, SAFE or INJECTION."""
    labels = {0: "SAFE", 1: "INJECTION"}
    options: dict[str, Any] = {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 16,
        "id2label": labels,
        "label2id": {name: i for i, name in labels.items()},
    }
    config = transformers.DebertaV2Config(vocab_size=400, pad_token_id=1, **SIZES, **options)
    return _save(folder, transformers.DebertaV2ForSequenceClassification(config), _tokenizer())


def clip(folder: Path) -> Path:
    """bge-vl: CLIP, texts and pictures in one space."""
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = transformers.CLIPConfig(
        text_config={**size, "vocab_size": 400, "max_position_embeddings": 130, "eos_token_id": 2, "pad_token_id": 1},
        vision_config={**size, "image_size": 32, "patch_size": 8},
        projection_dim=24,
    )
    pictures = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor: Any = transformers.CLIPProcessor(  # type: ignore[no-untyped-call]
        image_processor=pictures, tokenizer=_tokenizer()
    )
    plain = _save(folder.with_name(folder.name + "-plain"), transformers.CLIPModel(config), processor)
    model = SentenceTransformer(modules=[Transformer(str(plain))], device="cpu")
    model.save(str(folder), create_model_card=False)
    return folder


BUILDERS: Mapping[str, Callable[[Path], Path]] = {
    build.__name__: build
    for build in (
        bert,
        xlm_roberta,
        qwen3_embedding,
        clip,
        xlm_roberta_reranker,
        qwen3_reranker,
        bert_moderation,
        deberta_injection,
    )
}


def build(name: str, folder: Path) -> Path:
    """Builds one of `BUILDERS`, the same each time."""
    torch.manual_seed(7)
    return BUILDERS[name](folder / name)
