//! Which names in `tokenizer.ggml.pre` ask for what. To add a pre-tokenizer, add a row here, and a
//! stage or a variant of [`Words`] if its expression is new.

use super::stages::*;
use super::words::{Contractions, GPT4O, LLAMA3, Letters, QWEN2, Tail, Words};
use super::{Pre, Stage};
use crate::tokenizer::unicode::{LETTER, MARK, NUMBER, WHITESPACE};
use Stage::{Cut, First, Main};

const LM: u8 = LETTER | MARK;

const PRE: Pre = Pre {
    names: &[],
    stages: &[],
    ignore_merges: false,
    add_bos: false,
    clean_spaces: true,
    has_bos: true,
    in_bytes: true,
    escape_spaces: false,
    whole_newlines: false,
    drop_spaces: false,
    always_bos: false,
    needs_merges: true,
};

const LLAMA3_ONLY: &[Stage] = &[Main(LLAMA3)];
const QWEN2_ONLY: &[Stage] = &[Main(QWEN2)];
const GPT2_ONLY: &[Stage] = &[First(gpt2)];
const DIGITS_GPT2: &[Stage] = &[First(numbers::<1>), First(gpt2)];
const BLOOM: &[Stage] = &[First(bloom)];
const ALL_NUMBERS: usize = usize::MAX;

/// Every supported pre-tokenizer.
pub static TABLE: &[Pre] = &[
    Pre {
        names: &["default"],
        stages: &[First(punctuation), First(gpt2), First(numbers::<ALL_NUMBERS>), First(three_digits)],
        ..PRE
    },
    Pre {
        names: &[
            "llama3",
            "llama-v3",
            "llama-bpe",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "jina-v5-nano",
        ],
        stages: LLAMA3_ONLY,
        ignore_merges: true,
        add_bos: true,
        ..PRE
    },
    Pre { names: &["dbrx", "smaug-bpe"], stages: LLAMA3_ONLY, ..PRE },
    Pre { names: &["chatglm-bpe"], stages: LLAMA3_ONLY, has_bos: false, ..PRE },
    Pre { names: &["glm4", "glm5"], stages: LLAMA3_ONLY, has_bos: false, ignore_merges: true, ..PRE },
    Pre { names: &["jais-2"], stages: &[Main(LLAMA3), First(powers_of_two)], ..PRE },
    Pre {
        names: &["minicpm5"],
        stages: &[First(numbers::<3>), Main(Words { digits: ALL_NUMBERS, ..LLAMA3 })],
        ignore_merges: true,
        ..PRE
    },
    Pre {
        names: &[
            "qwen2",
            "deepseek-r1-qwen",
            "kormo",
            "f2llmv2",
            "hunyuan",
            "solar-open",
            "grok-2",
            "bailingmoe",
            "bailingmoe2",
            "llada-moe",
        ],
        stages: QWEN2_ONLY,
        clean_spaces: false,
        ..PRE
    },
    Pre { names: &["megrez", "stablelm2"], stages: QWEN2_ONLY, ..PRE },
    Pre {
        names: &["qwen35"],
        stages: &[Main(Words {
            letters: Letters::Run(LM),
            not_punctuation: WHITESPACE | LM | NUMBER,
            ..QWEN2
        })],
        clean_spaces: false,
        ..PRE
    },
    Pre {
        names: &["seed-coder"],
        stages: &[Main(Words { tail: Tail::None, ..QWEN2 })],
        clean_spaces: false,
        ..PRE
    },
    Pre {
        names: &["ufakzeka"],
        stages: &[Main(Words { contractions: Contractions::None, ..QWEN2 })],
        clean_spaces: false,
        ..PRE
    },
    Pre { names: &["laguna"], stages: &[First(lines), Main(QWEN2)], clean_spaces: false, ..PRE },
    Pre {
        names: &["exaone-moe"],
        stages: &[Main(Words { letters: Letters::Spaced, tail: Tail::One(b"\r\n/"), ..QWEN2 })],
        ..PRE
    },
    Pre {
        names: &["tekken"],
        stages: &[Main(Words { contractions: Contractions::None, digits: 1, ..GPT4O })],
        clean_spaces: false,
        ignore_merges: true,
        add_bos: true,
        ..PRE
    },
    Pre {
        names: &["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"],
        stages: &[Main(GPT4O)],
        clean_spaces: false,
        ..PRE
    },
    Pre {
        names: &["granite-embed-multi-97m"],
        stages: &[Main(Words { letters: Letters::Cased(LM), ..GPT4O })],
        clean_spaces: false,
        ignore_merges: true,
        ..PRE
    },
    // The reference reads all classes of letters in these two as any letter.
    Pre {
        names: &["tiny_aya", "cohere2moe"],
        stages: &[Cut(thousands_led), Main(Words { letters: Letters::Run(LM), ..GPT4O })],
        clean_spaces: false,
        ..PRE
    },
    Pre {
        names: &["youtu"],
        stages: &[First(youtu_scripts), Main(Words { letters: Letters::Run(LM), digits: 1, ..GPT4O })],
        clean_spaces: false,
        ignore_merges: true,
        ..PRE
    },
    Pre {
        names: &["kimi-k2"],
        stages: &[Main(Words { contractions: Contractions::Suffix, letters: Letters::NotHan, ..LLAMA3 })],
        clean_spaces: false,
        needs_merges: false,
        ..PRE
    },
    Pre {
        names: &[
            "gpt-2",
            "phi-2",
            "jina-es",
            "jina-de",
            "gigachat",
            "jina-v1-en",
            "jina-v2-es",
            "jina-v2-de",
            "jina-v2-code",
            "roberta-bpe",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "mpt",
            "olmo",
            "jais",
            "exaone4",
        ],
        stages: GPT2_ONLY,
        ..PRE
    },
    Pre { names: &["trillion", "granite-docling"], stages: GPT2_ONLY, clean_spaces: false, ..PRE },
    Pre {
        names: &["starcoder", "refact", "codeshell", "exaone", "minerva-7b", "mellum2"],
        stages: DIGITS_GPT2,
        ..PRE
    },
    Pre { names: &["command-r", "smollm"], stages: DIGITS_GPT2, clean_spaces: false, ..PRE },
    Pre {
        names: &["falcon"],
        stages: &[First(punctuation_and_backticks), First(gpt2), First(three_digits)],
        ..PRE
    },
    Pre {
        names: &["deepseek-llm"],
        stages: &[
            First(line_ends),
            First(spaced_cased_letters),
            First(spaced_marks),
            First(last_spaces),
            First(east_asian),
            First(numbers::<ALL_NUMBERS>),
        ],
        clean_spaces: false,
        ..PRE
    },
    Pre {
        names: &["deepseek-coder"],
        stages: &[
            First(line_ends),
            First(spaced_letters),
            First(spaced_punctuation),
            First(east_asian),
            First(numbers::<1>),
        ],
        clean_spaces: false,
        ..PRE
    },
    Pre {
        names: &["deepseek-v3", "hunyuan-dense", "hy_v4", "joyai-llm"],
        stages: &[First(numbers::<3>), First(han_and_kana), First(deepseek3)],
        clean_spaces: false,
        ..PRE
    },
    Pre {
        names: &["spark2_5"],
        stages: &[First(numbers::<3>), First(han_and_kana), First(spark), First(numbers::<1>)],
        clean_spaces: false,
        ..PRE
    },
    Pre {
        names: &["afmoe"],
        stages: &[Cut(thousands_led), First(asian), First(deepseek3)],
        clean_spaces: false,
        ..PRE
    },
    Pre { names: &["bloom", "gpt3-finnish"], stages: BLOOM, ..PRE },
    Pre { names: &["poro-chat"], stages: BLOOM, clean_spaces: false, ..PRE },
    Pre { names: &["viking"], stages: &[First(bloom), First(numbers::<1>)], clean_spaces: false, ..PRE },
    Pre {
        names: &["chameleon"],
        stages: &[
            First(sentinels),
            First(images),
            First(indents),
            First(numbers::<1>),
            First(single_punctuation),
            First(gpt2),
        ],
        clean_spaces: false,
        add_bos: true,
        ..PRE
    },
    Pre {
        names: &["superbpe"],
        stages: &[First(numbers::<ALL_NUMBERS>), Cut(thousands)],
        clean_spaces: false,
        ..PRE
    },
    Pre {
        names: &["gemma4", "granite-embed-multi-311m"],
        stages: &[First(lines)],
        always_bos: true,
        in_bytes: false,
        escape_spaces: true,
        whole_newlines: true,
        ..PRE
    },
    Pre {
        names: &["sarvam-moe"],
        stages: &[First(lines)],
        clean_spaces: false,
        in_bytes: false,
        escape_spaces: true,
        ..PRE
    },
    Pre { names: &["whitespace"], stages: &[First(not_spaces)], in_bytes: false, drop_spaces: true, ..PRE },
];
