"""Writes the trained demo model as GGUF, with the PyPI package `gguf`.

    python3 export.py DIR ../../models/demo.gguf

DIR is train.py's output (config.json, tokenizer.model, weights.npz). Matrices are stored
F16, norms F32; without an output.weight a reader uses token_embd.weight.
"""

import json
import sys

import gguf
import numpy as np
import sentencepiece


def add_tokenizer(writer, processor):
    texts, scores, types = [], [], []
    for token in range(processor.vocab_size()):
        texts.append(processor.id_to_piece(token).encode())
        scores.append(processor.get_score(token))
        types.append(gguf.TokenType.UNKNOWN if processor.is_unknown(token) else gguf.TokenType.CONTROL if processor.is_control(token)
                     else gguf.TokenType.BYTE if processor.is_byte(token) else gguf.TokenType.NORMAL)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(texts)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(processor.bos_id())
    writer.add_eos_token_id(processor.eos_id())
    writer.add_unk_token_id(processor.unk_id())
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(True)


def main():
    source, target = sys.argv[1:]
    processor = sentencepiece.SentencePieceProcessor(model_file=f"{source}/tokenizer.model")
    weights = np.load(f"{source}/weights.npz")
    with open(f"{source}/config.json") as file:
        config = json.load(file)
    writer = gguf.GGUFWriter(target, "llama")
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name("rocmforge-demo tales")
    writer.add_description("A small Llama-shaped model that writes short, simple tales. Corpus, tokenizer and weights made by tools/demo-model.")
    writer.add_license("MIT OR Apache-2.0")
    writer.add_languages(["en"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(config["n_ctx"])
    writer.add_embedding_length(config["n_embd"])
    writer.add_block_count(config["n_layer"])
    writer.add_feed_forward_length(config["n_ff"])
    writer.add_head_count(config["n_head"])
    writer.add_head_count_kv(config["n_head_kv"])
    writer.add_rope_dimension_count(config["n_embd"] // config["n_head"])
    writer.add_rope_freq_base(config["rope_base"])
    writer.add_layer_norm_rms_eps(config["rms_eps"])
    writer.add_vocab_size(processor.vocab_size())
    add_tokenizer(writer, processor)
    for name in weights.files:
        writer.add_tensor(name, weights[name])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
