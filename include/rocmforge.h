/**
 * @file rocmforge.h
 * librocmforge: GGUF language models behind a stable C ABI.
 *
 * The way from a file to text:
 *
 *     rf_model_load()              a model; rf_model_get_vocab() lends its vocabulary
 *     rf_context_new()             a context over it: KV cache, logits, threads
 *     rf_tokenize()                a text to tokens
 *     rf_batch_add_seq()           tokens into a batch
 *     rf_decode()                  the batch through the model
 *     rf_sampler_sample()          the next token out of the logits
 *     rf_detokenizer_push()        tokens back to text
 *
 * examples/c/simple.c is all of it in a page. The rules below hold for every function.
 *
 * Errors. A function gives an rf_status; RF_STATUS_OK is 0. When it gives another, it has changed
 * nothing that it does not say, and rf_last_error() tells this thread why, in a sentence; the handle
 * that the function was called on keeps the same message (rf_context_last_error() and the like).
 * Nothing aborts the process and no exception leaves the library. A defect of the library gives
 * RF_STATUS_PANIC; the handle that the function was called on (its first argument) then gives
 * RF_STATUS_POISONED until it is freed, and nothing else is affected. Functions that cannot fail
 * give their result directly: rf_version(), rf_abi_version(), rf_status_string(), rf_last_error(),
 * and rf_..._free(), which has nothing to give.
 *
 * Ownership. What rf_..._new(), rf_..._init(), rf_..._clone() and rf_model_load() give through their
 * last argument is the caller's, who frees it with rf_..._free() of its type, in any order: a
 * context keeps what it needs of its model alive. What is const (a vocabulary, a device, logits) is
 * lent: it is never freed, and the function that gives it says how long it is valid. Strings, arrays
 * and structs passed in are copied or only looked at; the library keeps no pointer to them. It keeps
 * the pointers of callbacks and their user data.
 *
 * Threads. A handle may be used from any thread. Functions that take it const may run on it at the
 * same time; a function that takes it non-const must have it to itself. Overlap that breaks this
 * rule gives RF_STATUS_BUSY, but freeing a handle that is in use, or using one that was freed, is
 * undefined. Callbacks run on the thread whose call they serve, before that call returns, and must
 * return: no exception, no longjmp.
 *
 * Strings in end in NUL unless a length goes with them, and are UTF-8 unless said otherwise.
 * Strings out are written to a buffer of the caller's with a NUL at the end: a buffer needs one byte
 * more than the length that len receives, which never counts the NUL. With buf NULL and size 0 only
 * the length is given, with RF_STATUS_OK. With a buffer that is too small nothing is written to it
 * and the call gives RF_STATUS_BUFFER_TOO_SMALL, and the length. Arrays out work the same way,
 * without the NUL.
 *
 * Structs never cross by value, and grow at their end in later versions. Their first field is
 * struct_size, the size that the caller was compiled with: rf_..._params_init() sets it along with
 * the defaults; in structs that the library fills in, the caller sets it. Fields that a caller's
 * struct lacks have their defaults. Fields that the library does not know must be zero: else the
 * call gives RF_STATUS_UNSUPPORTED rather than ignore what was asked for. Small fixed records
 * (rf_token_data, rf_logit_bias, rf_chat_message) have no struct_size and never change.
 *
 * Compiles as C99 to C23 and as C++11 to C++23.
 */


#ifndef ROCMFORGE_H
#define ROCMFORGE_H

/* Generated from src/capi by tests/header.rs. Do not edit. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The version of this header, as rf_version() gives that of the library. */
#define RF_VERSION "0.1.0"
#define RF_VERSION_MAJOR 0
#define RF_VERSION_MINOR 1
#define RF_VERSION_PATCH 0

/** The ABI of this header; see rf_abi_version(). */
#define RF_ABI_VERSION 1

/**
 * As a seed: take one from the operating system.
 */
#define RF_RANDOM_SEED 4294967295

/**
 * What became of a call. Numbers keep their meaning for ever; later versions add new ones, so a
 * program treats a status that it does not know as a failure.
 */
typedef enum rf_status {
    /**
     * It was done.
     */
    RF_STATUS_OK = 0,
    /**
     * An argument is outside of what its documentation allows.
     */
    RF_STATUS_INVALID_ARGUMENT = 1,
    /**
     * A pointer that must not be NULL is.
     */
    RF_STATUS_NULL_POINTER = 2,
    /**
     * The caller's buffer is too small; the length needed was given.
     */
    RF_STATUS_BUFFER_TOO_SMALL = 3,
    /**
     * There is no such key, index or name.
     */
    RF_STATUS_NOT_FOUND = 4,
    /**
     * Well-formed, but not something that this version or build can do.
     */
    RF_STATUS_UNSUPPORTED = 5,
    /**
     * The system refused to open, map or read a file.
     */
    RF_STATUS_IO = 6,
    /**
     * A file is damaged, or is not what it claims to be.
     */
    RF_STATUS_FORMAT = 7,
    /**
     * The memory asked for cannot be had.
     */
    RF_STATUS_OUT_OF_MEMORY = 8,
    /**
     * The batch holds as many tokens as it was made for.
     */
    RF_STATUS_BATCH_FULL = 9,
    /**
     * The KV cache has no room for the batch. The context is as it was before the call.
     */
    RF_STATUS_KV_FULL = 10,
    /**
     * A callback asked to stop.
     */
    RF_STATUS_ABORTED = 11,
    /**
     * A device or compute backend failed.
     */
    RF_STATUS_BACKEND = 12,
    /**
     * A defect of the library that it noticed itself.
     */
    RF_STATUS_INTERNAL = 13,
    /**
     * A defect of the library: it panicked. The handle must be freed and not used otherwise.
     */
    RF_STATUS_PANIC = 14,
    /**
     * An earlier call on this handle gave RF_STATUS_PANIC.
     */
    RF_STATUS_POISONED = 15,
    /**
     * Another call is using the handle in a way that excludes this one.
     */
    RF_STATUS_BUSY = 16,
} rf_status;

/**
 * What a device is.
 */
typedef enum rf_device_type {
    /**
     * The processor and its memory.
     */
    RF_DEVICE_TYPE_CPU = 0,
    /**
     * A graphics processor with memory of its own.
     */
    RF_DEVICE_TYPE_GPU = 1,
} rf_device_type;

/**
 * The type of a metadata value, with the numbers of the GGUF specification.
 */
typedef enum rf_meta_type {
    /**
     * 8-bit unsigned integer.
     */
    RF_META_TYPE_U8 = 0,
    /**
     * 8-bit signed integer.
     */
    RF_META_TYPE_I8 = 1,
    /**
     * 16-bit unsigned integer.
     */
    RF_META_TYPE_U16 = 2,
    /**
     * 16-bit signed integer.
     */
    RF_META_TYPE_I16 = 3,
    /**
     * 32-bit unsigned integer.
     */
    RF_META_TYPE_U32 = 4,
    /**
     * 32-bit signed integer.
     */
    RF_META_TYPE_I32 = 5,
    /**
     * 32-bit floating point number.
     */
    RF_META_TYPE_F32 = 6,
    /**
     * True or false.
     */
    RF_META_TYPE_BOOL = 7,
    /**
     * A string in UTF-8.
     */
    RF_META_TYPE_STR = 8,
    /**
     * An array of values of one type.
     */
    RF_META_TYPE_ARRAY = 9,
    /**
     * 64-bit unsigned integer.
     */
    RF_META_TYPE_U64 = 10,
    /**
     * 64-bit signed integer.
     */
    RF_META_TYPE_I64 = 11,
    /**
     * 64-bit floating point number.
     */
    RF_META_TYPE_F64 = 12,
} rf_meta_type;

/**
 * How a vocabulary makes tokens of text.
 */
typedef enum rf_vocab_type {
    /**
     * Not at all: the model takes token numbers only.
     */
    RF_VOCAB_TYPE_NONE = 0,
    /**
     * SentencePiece: byte-level pairs by score, with byte fallback.
     */
    RF_VOCAB_TYPE_SPM = 1,
    /**
     * Byte pair encoding, by merge rank.
     */
    RF_VOCAB_TYPE_BPE = 2,
    /**
     * WordPiece.
     */
    RF_VOCAB_TYPE_WPM = 3,
    /**
     * SentencePiece unigram, the best sum of scores.
     */
    RF_VOCAB_TYPE_UGM = 4,
} rf_vocab_type;

/**
 * How the weights of a model's file are stored, with the numbers and names of llama.cpp. Most name a
 * mixture of types: S, M and L are small, medium and large ones.
 */
typedef enum rf_file_type {
    /**
     * 32-bit floating point.
     */
    RF_FILE_TYPE_F32 = 0,
    /**
     * 16-bit floating point (IEEE).
     */
    RF_FILE_TYPE_F16 = 1,
    /**
     * 4.5 bits a weight, simple and fast.
     */
    RF_FILE_TYPE_Q4_0 = 2,
    /**
     * 5 bits a weight, simple.
     */
    RF_FILE_TYPE_Q4_1 = 3,
    /**
     * 8.5 bits a weight, next to no loss.
     */
    RF_FILE_TYPE_Q8_0 = 7,
    /**
     * 5.5 bits a weight, simple.
     */
    RF_FILE_TYPE_Q5_0 = 8,
    /**
     * 6 bits a weight, simple.
     */
    RF_FILE_TYPE_Q5_1 = 9,
    /**
     * 2.6 bits a weight and more for some.
     */
    RF_FILE_TYPE_Q2_K = 10,
    /**
     * 3.4 bits a weight.
     */
    RF_FILE_TYPE_Q3_K_S = 11,
    /**
     * 3.4 bits a weight and more for some.
     */
    RF_FILE_TYPE_Q3_K_M = 12,
    /**
     * 3.4 bits a weight and more for many.
     */
    RF_FILE_TYPE_Q3_K_L = 13,
    /**
     * 4.5 bits a weight.
     */
    RF_FILE_TYPE_Q4_K_S = 14,
    /**
     * 4.5 bits a weight and more for some: what most models are best stored in.
     */
    RF_FILE_TYPE_Q4_K_M = 15,
    /**
     * 5.5 bits a weight.
     */
    RF_FILE_TYPE_Q5_K_S = 16,
    /**
     * 5.5 bits a weight and more for some.
     */
    RF_FILE_TYPE_Q5_K_M = 17,
    /**
     * 6.6 bits a weight.
     */
    RF_FILE_TYPE_Q6_K = 18,
    /**
     * 2.1 bits a weight; needs importance data.
     */
    RF_FILE_TYPE_IQ2_XXS = 19,
    /**
     * 2.3 bits a weight; needs importance data.
     */
    RF_FILE_TYPE_IQ2_XS = 20,
    /**
     * 2.6 bits a weight; needs importance data.
     */
    RF_FILE_TYPE_Q2_K_S = 21,
    /**
     * 3.3 bits a weight; needs importance data.
     */
    RF_FILE_TYPE_IQ3_XS = 22,
    /**
     * 3.1 bits a weight; needs importance data.
     */
    RF_FILE_TYPE_IQ3_XXS = 23,
    /**
     * 1.6 bits a weight; needs importance data.
     */
    RF_FILE_TYPE_IQ1_S = 24,
    /**
     * 4.5 bits a weight, levels spaced as weights are.
     */
    RF_FILE_TYPE_IQ4_NL = 25,
    /**
     * 3.4 bits a weight on a grid.
     */
    RF_FILE_TYPE_IQ3_S = 26,
    /**
     * 3.7 bits a weight on a grid.
     */
    RF_FILE_TYPE_IQ3_M = 27,
    /**
     * 2.5 bits a weight; needs importance data.
     */
    RF_FILE_TYPE_IQ2_S = 28,
    /**
     * 2.7 bits a weight; needs importance data.
     */
    RF_FILE_TYPE_IQ2_M = 29,
    /**
     * 4.25 bits a weight, levels spaced as weights are.
     */
    RF_FILE_TYPE_IQ4_XS = 30,
    /**
     * 1.75 bits a weight; needs importance data.
     */
    RF_FILE_TYPE_IQ1_M = 31,
    /**
     * 16-bit floating point (bfloat16).
     */
    RF_FILE_TYPE_BF16 = 32,
    /**
     * 1.7 bits a weight, for models trained to have ternary weights.
     */
    RF_FILE_TYPE_TQ1_0 = 36,
    /**
     * 2.1 bits a weight, for models trained to have ternary weights.
     */
    RF_FILE_TYPE_TQ2_0 = 37,
    /**
     * Experts in 4-bit floating point of the OCP MX specification, the rest in 8.5 bits.
     */
    RF_FILE_TYPE_MXFP4_MOE = 38,
    /**
     * 1.1 bits a weight, for models trained to have binary weights.
     */
    RF_FILE_TYPE_Q1_0 = 40,
    /**
     * 2.25 bits a weight, for models trained to have four levels.
     */
    RF_FILE_TYPE_Q2_0 = 41,
} rf_file_type;

/**
 * How much a log line matters.
 */
typedef enum rf_log_level {
    /**
     * For those who look for a fault.
     */
    RF_LOG_LEVEL_DEBUG = 0,
    /**
     * What was chosen and how large it is.
     */
    RF_LOG_LEVEL_INFO = 1,
    /**
     * Something is not as asked, and work goes on.
     */
    RF_LOG_LEVEL_WARN = 2,
    /**
     * An operation failed.
     */
    RF_LOG_LEVEL_ERROR = 3,
} rf_log_level;

/**
 * What kind of token one is: bits.
 */
typedef enum rf_token_attr {
    /**
     * None is set.
     */
    RF_TOKEN_ATTR_UNDEFINED = 0,
    /**
     * Stands for what has no token.
     */
    RF_TOKEN_ATTR_UNKNOWN = 1,
    /**
     * Not in use.
     */
    RF_TOKEN_ATTR_UNUSED = 2,
    /**
     * Part of text.
     */
    RF_TOKEN_ATTR_NORMAL = 4,
    /**
     * Has a meaning and no text: printed on request only.
     */
    RF_TOKEN_ATTR_CONTROL = 8,
    /**
     * Added to the vocabulary; found in text before anything else.
     */
    RF_TOKEN_ATTR_USER_DEFINED = 16,
    /**
     * One byte.
     */
    RF_TOKEN_ATTR_BYTE = 32,
    /**
     * Takes in the spaces before it.
     */
    RF_TOKEN_ATTR_LSTRIP = 128,
    /**
     * Takes in the spaces after it.
     */
    RF_TOKEN_ATTR_RSTRIP = 256,
} rf_token_attr;

/**
 * Types of weights and of the KV cache that have a use in this API, with the numbers of ggml. A
 * model's file may have tensors of others: see rf_type_name().
 */
typedef enum rf_type {
    /**
     * 32-bit floating point.
     */
    RF_TYPE_F32 = 0,
    /**
     * 16-bit floating point (IEEE).
     */
    RF_TYPE_F16 = 1,
    /**
     * Blocks of 32 at 4.5 bits each.
     */
    RF_TYPE_Q4_0 = 2,
    /**
     * Blocks of 32 at 5 bits each, with an offset.
     */
    RF_TYPE_Q4_1 = 3,
    /**
     * Blocks of 32 at 5.5 bits each.
     */
    RF_TYPE_Q5_0 = 6,
    /**
     * Blocks of 32 at 6 bits each, with an offset.
     */
    RF_TYPE_Q5_1 = 7,
    /**
     * Blocks of 32 at 8.5 bits each.
     */
    RF_TYPE_Q8_0 = 8,
    /**
     * Superblocks of 256 at 2.625 bits each.
     */
    RF_TYPE_Q2_K = 10,
    /**
     * Superblocks of 256 at 3.4375 bits each.
     */
    RF_TYPE_Q3_K = 11,
    /**
     * Superblocks of 256 at 4.5 bits each.
     */
    RF_TYPE_Q4_K = 12,
    /**
     * Superblocks of 256 at 5.5 bits each.
     */
    RF_TYPE_Q5_K = 13,
    /**
     * Superblocks of 256 at 6.5625 bits each.
     */
    RF_TYPE_Q6_K = 14,
    /**
     * Superblocks of 256 at 2.0625 bits each, points of a grid.
     */
    RF_TYPE_IQ2_XXS = 16,
    /**
     * Superblocks of 256 at 2.3125 bits each, points of a grid.
     */
    RF_TYPE_IQ2_XS = 17,
    /**
     * Superblocks of 256 at 3.0625 bits each, points of a grid.
     */
    RF_TYPE_IQ3_XXS = 18,
    /**
     * Superblocks of 256 at 1.5625 bits each, points of a grid.
     */
    RF_TYPE_IQ1_S = 19,
    /**
     * Blocks of 32 at 4.5 bits each, levels spaced as weights are.
     */
    RF_TYPE_IQ4_NL = 20,
    /**
     * Superblocks of 256 at 3.4375 bits each, points of a grid.
     */
    RF_TYPE_IQ3_S = 21,
    /**
     * Superblocks of 256 at 2.5625 bits each, points of a grid.
     */
    RF_TYPE_IQ2_S = 22,
    /**
     * Superblocks of 256 at 4.25 bits each, levels spaced as weights are.
     */
    RF_TYPE_IQ4_XS = 23,
    /**
     * Superblocks of 256 at 1.75 bits each, points of a grid.
     */
    RF_TYPE_IQ1_M = 29,
    /**
     * 16-bit floating point (bfloat16).
     */
    RF_TYPE_BF16 = 30,
    /**
     * Superblocks of 256 at 1.6875 bits each, ternary.
     */
    RF_TYPE_TQ1_0 = 34,
    /**
     * Superblocks of 256 at 2.0625 bits each, ternary.
     */
    RF_TYPE_TQ2_0 = 35,
    /**
     * Blocks of 32 at 4.25 bits each, MXFP4 of the OCP MX specification.
     */
    RF_TYPE_MXFP4 = 39,
    /**
     * Blocks of 64 at 4.5 bits each, 4-bit floating point with 8-bit floating-point scales.
     */
    RF_TYPE_NVFP4 = 40,
    /**
     * Blocks of 128 at 1.125 bits each, binary.
     */
    RF_TYPE_Q1_0 = 41,
    /**
     * Blocks of 64 at 2.25 bits each.
     */
    RF_TYPE_Q2_0 = 42,
} rf_type;

/**
 * The tokens of one rf_decode(). Made once for a number of tokens and reused; filling it allocates
 * nothing.
 */
typedef struct rf_batch rf_batch;

/**
 * The state of one or more sequences over a model: KV cache, logits, threads. Functions that take
 * it const may run at the same time; the others need it to themselves.
 */
typedef struct rf_context rf_context;

/**
 * Turns tokens into text as they come. A token may end in the middle of a character; its bytes are
 * kept until the rest arrives, so what comes out is whole characters, valid UTF-8 always. Bytes
 * that are no characters come out as U+FFFD.
 */
typedef struct rf_detokenizer rf_detokenizer;

/**
 * Something to compute on. Devices are made by the library, live as long as the process and are
 * never freed. Any function may be called on one from any thread.
 */
typedef struct rf_device rf_device;

/**
 * A model: weights, vocabulary and metadata. Immutable, so any number of threads and contexts use
 * one at a time. Contexts and detokenizers keep what they need of it alive: rf_model_free() may
 * come before theirs.
 */
typedef struct rf_model rf_model;

/**
 * One sampler, or a chain of them, which is a sampler too.
 */
typedef struct rf_sampler rf_sampler;

/**
 * The vocabulary of a model, of which it is a part: it is not freed, and ends with
 * rf_model_free(). Any number of threads may use it at a time.
 */
typedef struct rf_vocab rf_vocab;

/**
 * Told how far the load is, 0 to 1, on the thread that loads; false cancels the load, which then
 * gives RF_STATUS_ABORTED. Must return: no exception, no longjmp.
 */
typedef bool (*rf_progress_callback)(float progress, void *user_data);

/**
 * Takes a log line: an rf_log_level, the text in UTF-8 without a newline, which is valid during
 * the call only, and the user data that came with the callback. Called on the thread whose call
 * into the library has something to log. Must return: no exception, no longjmp.
 */
typedef void (*rf_log_callback)(int32_t level, const char *text, void *user_data);

/**
 * How to load a model. Filled in by rf_model_params_init(), then changed by the caller.
 */
typedef struct rf_model_params {
    /**
     * sizeof(rf_model_params).
     */
    size_t struct_size;
    /**
     * How many layers a GPU computes: the last ones of the model, with the head (final norm and output
     * matrix) as one more behind them, so that rf_model_n_layer() + 1 or more is everything. The CPU looks
     * up the embeddings and computes the layers before. It is the first GPU that can be used, or the load
     * fails with the reason. 0: the CPU computes all. -1, the default: everything if it fits into the free
     * memory of a GPU, or else as many of the last layers as do, or else, with a line in the log that says
     * why, none. What has to fit is computed: these layers' weights, their part of the cache of a context of
     * fit_ctx tokens in f16, and 512 MiB for all else. See rf_model_device(), rf_model_n_gpu_layers().
     */
    int32_t n_gpu_layers;
    /**
     * With n_gpu_layers = -1, the tokens of the contexts, all together, that memory of the GPU is left for.
     * 0: what the model was trained on; -1, the default: 4096, or what it was trained on if that is less.
     */
    int32_t fit_ctx;
    /**
     * Leave the weights alone: for tokenizing and metadata. Default false.
     */
    bool vocab_only;
    /**
     * Copy the weights into memory in place of computing on the mapped file. The load then takes as
     * long as reading the file, and the memory is this process's own; in turn it is of large pages,
     * which are faster to read: what generates long texts with a large model gains. Default false.
     */
    bool no_mmap;
    /**
     * Zero.
     */
    uint8_t reserved[6];
    /**
     * Told how far the load is, and can cancel it; or NULL.
     */
    rf_progress_callback progress_callback;
    /**
     * For progress_callback.
     */
    void *progress_user_data;
    /**
     * Takes log lines of the load; or NULL.
     */
    rf_log_callback log_callback;
    /**
     * For log_callback.
     */
    void *log_user_data;
} rf_model_params;

/**
 * How to quantise a model. Filled in by rf_quantize_params_init(), then changed by the caller.
 */
typedef struct rf_quantize_params {
    /**
     * sizeof(rf_quantize_params).
     */
    size_t struct_size;
    /**
     * An rf_file_type: the mixture of types. Default RF_FILE_TYPE_Q8_0.
     */
    int32_t file_type;
    /**
     * One of ggml's type numbers (rf_type) for output.weight whatever the mixture says; -1, the
     * default, for none.
     */
    int32_t output_tensor_type;
    /**
     * The same for token_embd.weight.
     */
    int32_t token_embedding_type;
    /**
     * Threads; 0, the default: all processors.
     */
    int32_t n_threads;
    /**
     * Give every tensor the mixture's main type. Default false.
     */
    bool pure;
    /**
     * Take tensors that are quantised already, which loses more than quantising the original. Default
     * false.
     */
    bool allow_requantize;
    /**
     * Leave output.weight as it is. Default false.
     */
    bool leave_output_tensor;
    /**
     * Zero.
     */
    uint8_t reserved[5];
    /**
     * A file of importance data made by llama.cpp's imatrix, GGUF or .dat; or NULL.
     */
    const char *imatrix_path;
    /**
     * Told how far the work is, and can cancel it; or NULL.
     */
    rf_progress_callback progress_callback;
    /**
     * For progress_callback.
     */
    void *progress_user_data;
    /**
     * Takes a log line for each tensor; or NULL.
     */
    rf_log_callback log_callback;
    /**
     * For log_callback.
     */
    void *log_user_data;
} rf_quantize_params;

/**
 * What a tensor is like. The caller sets struct_size before the call.
 */
typedef struct rf_tensor_info {
    /**
     * sizeof(rf_tensor_info).
     */
    size_t struct_size;
    /**
     * The type of its elements: an rf_type, or another of ggml's numbers.
     */
    int32_t type;
    /**
     * Dimensions in use, 1 to 4.
     */
    int32_t n_dims;
    /**
     * Elements along each dimension, the innermost first; 1 where not in use.
     */
    uint64_t ne[4];
    /**
     * Bytes.
     */
    uint64_t n_bytes;
} rf_tensor_info;

/**
 * A token: 0 to rf_vocab_n_tokens() - 1.
 */
typedef int32_t rf_token;

/**
 * A message of a conversation.
 */
typedef struct rf_chat_message {
    /**
     * Who speaks: "system", "user", "assistant", or what else the template knows. UTF-8.
     */
    const char *role;
    /**
     * What they say. UTF-8.
     */
    const char *content;
} rf_chat_message;

/**
 * A position in a sequence, from 0.
 */
typedef int32_t rf_pos;

/**
 * A sequence of a context: 0 to n_seq_max - 1.
 */
typedef int32_t rf_seq_id;

/**
 * Asked now and then during rf_decode(), on the thread that called it; true stops the decode, which
 * then gives RF_STATUS_ABORTED. Must return, and must not call functions on this context.
 */
typedef bool (*rf_abort_callback)(void *user_data);

/**
 * How to make a context. Filled in by rf_context_params_init(), then changed by the caller.
 */
typedef struct rf_context_params {
    /**
     * sizeof(rf_context_params).
     */
    size_t struct_size;
    /**
     * Cells of the KV cache, one for each token of all sequences; 0 (the default) takes the
     * context length of the model's training.
     */
    int32_t n_ctx;
    /**
     * Most tokens of one rf_decode(). Default 2048.
     */
    int32_t n_batch;
    /**
     * Most tokens that are computed at a time. Default 512.
     */
    int32_t n_ubatch;
    /**
     * Sequences, 1 to 256. Default 1.
     */
    int32_t n_seq_max;
    /**
     * Threads for a single token; 0 (the default) takes the processors available.
     */
    int32_t n_threads;
    /**
     * Threads for prompts; 0 (the default) takes the processors available.
     */
    int32_t n_threads_batch;
    /**
     * Type of the cached keys: RF_TYPE_F16 (the default), RF_TYPE_F32, RF_TYPE_BF16 or
     * RF_TYPE_Q8_0, which needs heads of a multiple of 32 elements.
     */
    int32_t type_k;
    /**
     * Type of the cached values, likewise.
     */
    int32_t type_v;
    /**
     * How embeddings are pooled: an rf_pooling, or RF_POOLING_UNSPECIFIED (the default) for what the
     * model's file says, which for most is not at all.
     */
    int32_t pooling;
    /**
     * Whether embeddings are wanted; see rf_set_embeddings(). Default false.
     */
    bool embeddings;
    /**
     * Zero.
     */
    uint8_t reserved[3];
    /**
     * Takes log lines of this context; or NULL.
     */
    rf_log_callback log_callback;
    /**
     * For log_callback.
     */
    void *log_user_data;
    /**
     * Can stop a decode; or NULL. See rf_set_abort_callback().
     */
    rf_abort_callback abort_callback;
    /**
     * For abort_callback.
     */
    void *abort_user_data;
} rf_context_params;

/**
 * Work of a context since it was made or rf_perf_context_reset(). The caller sets struct_size
 * before the call.
 */
typedef struct rf_perf_context_data {
    /**
     * sizeof(rf_perf_context_data).
     */
    size_t struct_size;
    /**
     * Milliseconds that loading the model took.
     */
    double t_load_ms;
    /**
     * Milliseconds that decoding batches of several tokens took.
     */
    double t_p_eval_ms;
    /**
     * Milliseconds that decoding single tokens took.
     */
    double t_eval_ms;
    /**
     * Tokens decoded in batches of several.
     */
    uint64_t n_p_eval;
    /**
     * Tokens decoded one at a time.
     */
    uint64_t n_eval;
} rf_perf_context_data;

/**
 * A token that may come next.
 */
typedef struct rf_token_data {
    /**
     * The token.
     */
    rf_token id;
    /**
     * Its logit.
     */
    float logit;
    /**
     * Its probability, where a sampler computed it.
     */
    float p;
} rf_token_data;

/**
 * A number to add to the logit of a token.
 */
typedef struct rf_logit_bias {
    /**
     * The token.
     */
    rf_token token;
    /**
     * What is added to its logit; minus infinity forbids the token.
     */
    float bias;
} rf_logit_bias;

/**
 * No token: where a vocabulary lacks one.
 */
#define RF_TOKEN_NULL -1

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * A few words for a status, in static memory; "unknown status" for a number that is none. For
 * what went wrong in a call, see rf_last_error().
 *
 * @param status An rf_status.
 */
const char *rf_status_string(int32_t status);

/**
 * Why the last call that failed on this thread failed: the function, the thing that was wrong and
 * what to do about it. UTF-8; empty if none has failed. Calls that succeed leave it as it is.
 *
 * @return Memory of the library, valid until the next call on this thread. Never NULL. A program
 *         that may change threads between a call and this one (Go, async runtimes) asks the
 *         handle, with rf_model_last_error() and the like.
 */
const char *rf_last_error(void);

/**
 * The version of the library that runs, such as "0.1.0", in static memory. That of the header is
 * RF_VERSION.
 */
const char *rf_version(void);

/**
 * The ABI of the library that runs. A program compiled with another RF_ABI_VERSION cannot use it;
 * the soname changes with it, so only programs that load the library by path need to compare.
 */
uint32_t rf_abi_version(void);

/**
 * The number of devices. Device 0 is always the CPU; GPUs follow, those that cannot be used among
 * them: see rf_device_check(). The first call loads the HIP runtime if there is one. Where there is
 * none, or no GPU, the CPU is the only device, and rf_device_get() of device 1 tells why.
 *
 * @param n_devices Receives the number.
 */
enum rf_status rf_device_count(size_t *n_devices);

/**
 * A device by its number.
 *
 * @param index  0 to rf_device_count() - 1; RF_STATUS_NOT_FOUND otherwise.
 * @param device Receives the device, which is not to be freed; NULL on failure.
 */
enum rf_status rf_device_get(size_t index, const struct rf_device **device);

/**
 * Whether a device can be used. If it cannot, such as a GPU that there are no kernels for, gives
 * RF_STATUS_UNSUPPORTED, and rf_last_error() tells why.
 *
 * @param device The device.
 */
enum rf_status rf_device_check(const struct rf_device *device);

/**
 * The short name of a device: "cpu", "hip0".
 *
 * @param device The device.
 * @param buf    Buffer for the name, or NULL to ask for its length.
 * @param size   Bytes of the buffer.
 * @param len    Receives the length without the NUL; may be NULL if buf is not.
 */
enum rf_status rf_device_name(const struct rf_device *device, char *buf, size_t size, size_t *len);

/**
 * What a device is, in words for a person: processor count and instruction set; or name, architecture,
 * compute units and version of the HIP runtime.
 *
 * @param device The device.
 * @param buf    Buffer for the text, or NULL to ask for its length.
 * @param size   Bytes of the buffer.
 * @param len    Receives the length without the NUL; may be NULL if buf is not.
 */
enum rf_status rf_device_description(const struct rf_device *device,
                                     char *buf,
                                     size_t size,
                                     size_t *len);

/**
 * The type of a device.
 *
 * @param device The device.
 * @param type   Receives the type.
 */
enum rf_status rf_device_get_type(const struct rf_device *device, enum rf_device_type *type);

/**
 * The memory of a device, in bytes: what is free now and what there is. For the CPU, what the
 * system could give without swapping.
 *
 * @param device The device.
 * @param free_bytes  Receives the free memory.
 * @param total_bytes Receives the total.
 */
enum rf_status rf_device_memory(const struct rf_device *device,
                                uint64_t *free_bytes,
                                uint64_t *total_bytes);

/**
 * Why the last call on this device that failed failed; empty if none did.
 *
 * @param device The device.
 * @param buf    Buffer for the message, or NULL to ask for its length.
 * @param size   Bytes of the buffer.
 * @param len    Receives the length without the NUL; may be NULL if buf is not.
 */
enum rf_status rf_device_last_error(const struct rf_device *device,
                                    char *buf,
                                    size_t size,
                                    size_t *len);

/**
 * Fills in the defaults.
 *
 * @param params      The parameters.
 * @param struct_size sizeof(rf_model_params).
 */
enum rf_status rf_model_params_init(struct rf_model_params *params, size_t struct_size);

/**
 * Loads a model from a GGUF file. The file is mapped, not read (but see no_mmap), and has to stay as
 * it is while the model is in use: who shortens it in place brings the process down with SIGBUS.
 *
 * @param path   The file; of a model split over several (NAME-00001-of-0000N.gguf), the first, and
 *               the others are found beside it. See rf_split_path().
 * @param params How to load it; NULL for the defaults.
 * @param model  Receives the model, to be freed with rf_model_free(); NULL on failure.
 * @return RF_STATUS_IO, RF_STATUS_FORMAT, RF_STATUS_UNSUPPORTED (architecture, tensor type,
 *         tokenizer, GPU), RF_STATUS_ABORTED (progress callback), RF_STATUS_OUT_OF_MEMORY.
 */
enum rf_status rf_model_load(const char *path,
                             const struct rf_model_params *params,
                             struct rf_model **model);

/**
 * Frees a model. NULL is nothing to free. Its vocabulary (rf_model_get_vocab()) ends with it;
 * contexts and detokenizers made of it live on.
 *
 * @param model The model.
 */
void rf_model_free(struct rf_model *model);

/**
 * The vocabulary of a model.
 *
 * @param model The model.
 * @param vocab Receives the vocabulary: part of the model, valid until rf_model_free().
 */
enum rf_status rf_model_get_vocab(const struct rf_model *model, const struct rf_vocab **vocab);

/**
 * The device that computes with a model: a GPU if it computes any of its layers.
 *
 * @param model  The model.
 * @param device Receives the device, which is not to be freed.
 */
enum rf_status rf_model_device(const struct rf_model *model, const struct rf_device **device);

/**
 * How many layers of a model a GPU computes: what n_gpu_layers = -1 came to.
 *
 * @param model The model.
 * @param n     Receives the number, the head counted as a layer: 0 to rf_model_n_layer() + 1.
 */
enum rf_status rf_model_n_gpu_layers(const struct rf_model *model, int32_t *n);

/**
 * What a model is, in a few words: "llama 1.1B Q4_0".
 *
 * @param model The model.
 * @param buf   Buffer for the text, or NULL to ask for its length.
 * @param size  Bytes of the buffer.
 * @param len   Receives the length without the NUL; may be NULL if buf is not.
 */
enum rf_status rf_model_desc(const struct rf_model *model, char *buf, size_t size, size_t *len);

/**
 * The size of all tensors of a model.
 *
 * @param model   The model.
 * @param n_bytes Receives the bytes.
 */
enum rf_status rf_model_size(const struct rf_model *model, uint64_t *n_bytes);

/**
 * The number of weights of a model.
 *
 * @param model    The model.
 * @param n_params Receives the number.
 */
enum rf_status rf_model_n_params(const struct rf_model *model, uint64_t *n_params);

/**
 * The context length that a model was trained with.
 *
 * @param model The model.
 * @param n     Receives the length in tokens.
 * @return RF_STATUS_INVALID_ARGUMENT if only the vocabulary was loaded (vocab_only).
 */
enum rf_status rf_model_n_ctx_train(const struct rf_model *model, int32_t *n);

/**
 * The width of a model's residual stream.
 *
 * @param model The model.
 * @param n     Receives the width.
 * @return RF_STATUS_INVALID_ARGUMENT if only the vocabulary was loaded (vocab_only).
 */
enum rf_status rf_model_n_embd(const struct rf_model *model, int32_t *n);

/**
 * The number of layers of a model.
 *
 * @param model The model.
 * @param n     Receives the number.
 * @return RF_STATUS_INVALID_ARGUMENT if only the vocabulary was loaded (vocab_only).
 */
enum rf_status rf_model_n_layer(const struct rf_model *model, int32_t *n);

/**
 * The number of query heads of a model's first layer.
 *
 * @param model The model.
 * @param n     Receives the number.
 * @return RF_STATUS_INVALID_ARGUMENT if only the vocabulary was loaded (vocab_only).
 */
enum rf_status rf_model_n_head(const struct rf_model *model, int32_t *n);

/**
 * The number of key and value heads of a model's first layer.
 *
 * @param model The model.
 * @param n     Receives the number.
 * @return RF_STATUS_INVALID_ARGUMENT if only the vocabulary was loaded (vocab_only).
 */
enum rf_status rf_model_n_head_kv(const struct rf_model *model, int32_t *n);

/**
 * The number of experts in each layer of a model; 0 for one without.
 *
 * @param model The model.
 * @param n     Receives the number.
 * @return RF_STATUS_INVALID_ARGUMENT if only the vocabulary was loaded (vocab_only).
 */
enum rf_status rf_model_n_expert(const struct rf_model *model, int32_t *n);

/**
 * The number of tokens that a model gives logits for. Some models pad it: it is then more than
 * rf_vocab_n_tokens().
 *
 * @param model The model.
 * @param n     Receives the number.
 * @return RF_STATUS_INVALID_ARGUMENT if only the vocabulary was loaded (vocab_only).
 */
enum rf_status rf_model_n_vocab(const struct rf_model *model, int32_t *n);

/**
 * The path of one file of a split model: PREFIX-00001-of-0000N.gguf.
 *
 * @param prefix  What the names of all files begin with.
 * @param index   Which file, from 0.
 * @param n_files How many there are, 1 to 65535.
 * @param buf     Buffer for the path, or NULL to ask for its length.
 * @param size    Bytes of the buffer.
 * @param len     Receives the length without the NUL; may be NULL if buf is not.
 */
enum rf_status rf_split_path(const char *prefix,
                             int32_t index,
                             int32_t n_files,
                             char *buf,
                             size_t size,
                             size_t *len);

/**
 * Why the last call on this model that failed failed, on whatever thread; empty if none did.
 *
 * @param model The model.
 * @param buf   Buffer for the message, or NULL to ask for its length.
 * @param size  Bytes of the buffer.
 * @param len   Receives the length without the NUL; may be NULL if buf is not.
 */
enum rf_status rf_model_last_error(const struct rf_model *model,
                                   char *buf,
                                   size_t size,
                                   size_t *len);

/**
 * Fills in the defaults.
 *
 * @param params      The parameters.
 * @param struct_size sizeof(rf_quantize_params).
 */
enum rf_status rf_quantize_params_init(struct rf_quantize_params *params, size_t struct_size);

/**
 * Quantises the model in one file to another, by llama.cpp's rules. Only a few rows are in
 * memory at a time. The output is written beside its place under its name with ".part" added, and
 * renamed at the end: a call that fails leaves the old file alone, and input may be output.
 *
 * @param input  The model, a GGUF file of any architecture; of a split model the first.
 * @param output The file to write.
 * @param params How to quantise it; NULL for the defaults.
 * @return RF_STATUS_IO, RF_STATUS_FORMAT (input, imatrix, weights that are not finite),
 *         RF_STATUS_INVALID_ARGUMENT (unknown type, weights that are quantised already, importance
 *         data of another model), RF_STATUS_UNSUPPORTED (importance data is missing),
 *         RF_STATUS_ABORTED (progress callback).
 */
enum rf_status rf_model_quantize(const char *input,
                                 const char *output,
                                 const struct rf_quantize_params *params);

/**
 * The number of metadata keys of a model.
 *
 * @param model  The model.
 * @param n_keys Receives the number.
 */
enum rf_status rf_model_meta_count(const struct rf_model *model, size_t *n_keys);

/**
 * A metadata key by its place in the file.
 *
 * @param model The model.
 * @param index 0 to rf_model_meta_count() - 1; RF_STATUS_NOT_FOUND otherwise.
 * @param buf   Buffer for the key, or NULL to ask for its length.
 * @param size  Bytes of the buffer.
 * @param len   Receives the length without the NUL; may be NULL if buf is not.
 */
enum rf_status rf_model_meta_key_by_index(const struct rf_model *model,
                                          size_t index,
                                          char *buf,
                                          size_t size,
                                          size_t *len);

/**
 * A metadata value as text, by its place in the file. See rf_model_meta_val_str().
 *
 * @param model The model.
 * @param index 0 to rf_model_meta_count() - 1; RF_STATUS_NOT_FOUND otherwise.
 * @param buf   Buffer for the text, or NULL to ask for its length.
 * @param size  Bytes of the buffer.
 * @param len   Receives the length without the NUL; may be NULL if buf is not.
 */
enum rf_status rf_model_meta_val_str_by_index(const struct rf_model *model,
                                              size_t index,
                                              char *buf,
                                              size_t size,
                                              size_t *len);

/**
 * A metadata value as text: strings as they are, numbers in decimal, arrays as in JSON. Arrays can
 * be long (a vocabulary: megabytes); rf_model_meta_array() tells their length.
 *
 * @param model The model.
 * @param key   The key, such as "general.name"; RF_STATUS_NOT_FOUND if the model lacks it.
 * @param buf   Buffer for the text, or NULL to ask for its length.
 * @param size  Bytes of the buffer.
 * @param len   Receives the length without the NUL; may be NULL if buf is not.
 */
enum rf_status rf_model_meta_val_str(const struct rf_model *model,
                                     const char *key,
                                     char *buf,
                                     size_t size,
                                     size_t *len);

/**
 * The type of a metadata value.
 *
 * @param model The model.
 * @param key   The key; RF_STATUS_NOT_FOUND if the model lacks it.
 * @param type  Receives the type.
 */
enum rf_status rf_model_meta_get_type(const struct rf_model *model,
                                      const char *key,
                                      enum rf_meta_type *type);

/**
 * A metadata value that is a non-negative integer of any type.
 *
 * @param model The model.
 * @param key   The key; RF_STATUS_NOT_FOUND if the model lacks it, RF_STATUS_INVALID_ARGUMENT if
 *              its value is something else.
 * @param number Receives the value.
 */
enum rf_status rf_model_meta_u64(const struct rf_model *model, const char *key, uint64_t *number);

/**
 * A metadata value that is an integer of any type that fits 64 bits with a sign.
 *
 * @param model The model.
 * @param key   The key; RF_STATUS_NOT_FOUND if the model lacks it, RF_STATUS_INVALID_ARGUMENT if
 *              its value is something else.
 * @param number Receives the value.
 */
enum rf_status rf_model_meta_i64(const struct rf_model *model, const char *key, int64_t *number);

/**
 * A metadata value that is a floating point number of either width.
 *
 * @param model The model.
 * @param key   The key; RF_STATUS_NOT_FOUND if the model lacks it, RF_STATUS_INVALID_ARGUMENT if
 *              its value is something else.
 * @param number Receives the value.
 */
enum rf_status rf_model_meta_f64(const struct rf_model *model, const char *key, double *number);

/**
 * A metadata value that is true or false.
 *
 * @param model The model.
 * @param key   The key; RF_STATUS_NOT_FOUND if the model lacks it, RF_STATUS_INVALID_ARGUMENT if
 *              its value is something else.
 * @param flag  Receives the value.
 */
enum rf_status rf_model_meta_bool(const struct rf_model *model, const char *key, bool *flag);

/**
 * The type and number of elements of a metadata value that is an array.
 *
 * @param model     The model.
 * @param key       The key; RF_STATUS_NOT_FOUND if the model lacks it, RF_STATUS_INVALID_ARGUMENT
 *                  if its value is something else.
 * @param elem_type Receives the type of the elements.
 * @param n_elems   Receives their number.
 */
enum rf_status rf_model_meta_array(const struct rf_model *model,
                                   const char *key,
                                   enum rf_meta_type *elem_type,
                                   size_t *n_elems);

/**
 * The number of tensors of a model.
 *
 * @param model     The model.
 * @param n_tensors Receives the number.
 */
enum rf_status rf_model_tensor_count(const struct rf_model *model, size_t *n_tensors);

/**
 * The name of a tensor by its place in the file.
 *
 * @param model The model.
 * @param index 0 to rf_model_tensor_count() - 1; RF_STATUS_NOT_FOUND otherwise.
 * @param buf   Buffer for the name, or NULL to ask for its length.
 * @param size  Bytes of the buffer.
 * @param len   Receives the length without the NUL; may be NULL if buf is not.
 */
enum rf_status rf_model_tensor_name(const struct rf_model *model,
                                    size_t index,
                                    char *buf,
                                    size_t size,
                                    size_t *len);

/**
 * Type, shape and size of a tensor by its place in the file.
 *
 * @param model The model.
 * @param index 0 to rf_model_tensor_count() - 1; RF_STATUS_NOT_FOUND otherwise.
 * @param info  Receives them; its struct_size is set by the caller.
 */
enum rf_status rf_model_tensor_info(const struct rf_model *model,
                                    size_t index,
                                    struct rf_tensor_info *info);

/**
 * The name of a type of weights: "q4_k".
 *
 * @param type An rf_type or another number of ggml; RF_STATUS_NOT_FOUND for a number that is none.
 * @param buf  Buffer for the name, or NULL to ask for its length.
 * @param size Bytes of the buffer.
 * @param len  Receives the length without the NUL; may be NULL if buf is not.
 */
enum rf_status rf_type_name(int32_t type, char *buf, size_t size, size_t *len);

/**
 * How a vocabulary makes tokens of text.
 *
 * @param vocab The vocabulary.
 * @param type  Receives the type.
 */
enum rf_status rf_vocab_get_type(const struct rf_vocab *vocab, enum rf_vocab_type *type);

/**
 * The number of tokens in a vocabulary.
 *
 * @param vocab    The vocabulary.
 * @param n_tokens Receives the number.
 */
enum rf_status rf_vocab_n_tokens(const struct rf_vocab *vocab, int32_t *n_tokens);

/**
 * The text of a token as the model's file has it, in the vocabulary's own spelling. For what it
 * prints as, see rf_token_to_piece().
 *
 * @param vocab The vocabulary.
 * @param token The token; RF_STATUS_INVALID_ARGUMENT if out of range.
 * @param buf   Buffer for the text, or NULL to ask for its length.
 * @param size  Bytes of the buffer.
 * @param len   Receives the length without the NUL; may be NULL if buf is not.
 */
enum rf_status rf_vocab_get_text(const struct rf_vocab *vocab,
                                 rf_token token,
                                 char *buf,
                                 size_t size,
                                 size_t *len);

/**
 * The score of a token; 0 where the model's file has none.
 *
 * @param vocab The vocabulary.
 * @param token The token; RF_STATUS_INVALID_ARGUMENT if out of range.
 * @param score Receives the score.
 */
enum rf_status rf_vocab_get_score(const struct rf_vocab *vocab, rf_token token, float *score);

/**
 * The attributes of a token.
 *
 * @param vocab The vocabulary.
 * @param token The token; RF_STATUS_INVALID_ARGUMENT if out of range.
 * @param attr  Receives the attributes: bits of rf_token_attr.
 */
enum rf_status rf_vocab_get_attr(const struct rf_vocab *vocab, rf_token token, uint32_t *attr);

/**
 * Whether a token ends generation (end of text, of a turn, ...).
 *
 * @param vocab  The vocabulary.
 * @param token  The token; RF_STATUS_INVALID_ARGUMENT if out of range.
 * @param is_eog Receives the answer.
 */
enum rf_status rf_vocab_is_eog(const struct rf_vocab *vocab, rf_token token, bool *is_eog);

/**
 * Whether a token is a control token: one that has a meaning and no text.
 *
 * @param vocab      The vocabulary.
 * @param token      The token; RF_STATUS_INVALID_ARGUMENT if out of range.
 * @param is_control Receives the answer.
 */
enum rf_status rf_vocab_is_control(const struct rf_vocab *vocab, rf_token token, bool *is_control);

/**
 * The token with a given text, in the vocabulary's own spelling.
 *
 * @param vocab    The vocabulary.
 * @param text     The text, UTF-8.
 * @param text_len Its bytes.
 * @param token    Receives the token, RF_TOKEN_NULL if there is none.
 */
enum rf_status rf_vocab_find(const struct rf_vocab *vocab,
                             const char *text,
                             size_t text_len,
                             rf_token *token);

/**
 * Whether rf_tokenize() with add_special puts the token that begins a text in front.
 *
 * @param vocab   The vocabulary.
 * @param add_bos Receives the answer.
 */
enum rf_status rf_vocab_get_add_bos(const struct rf_vocab *vocab, bool *add_bos);

/**
 * Whether rf_tokenize() with add_special puts the token that ends a text at the end.
 *
 * @param vocab   The vocabulary.
 * @param add_eos Receives the answer.
 */
enum rf_status rf_vocab_get_add_eos(const struct rf_vocab *vocab, bool *add_eos);

/**
 * The token that begins a text.
 *
 * @param vocab The vocabulary.
 * @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
 */
enum rf_status rf_vocab_bos(const struct rf_vocab *vocab, rf_token *token);

/**
 * The token that ends a text.
 *
 * @param vocab The vocabulary.
 * @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
 */
enum rf_status rf_vocab_eos(const struct rf_vocab *vocab, rf_token *token);

/**
 * The token that ends a turn.
 *
 * @param vocab The vocabulary.
 * @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
 */
enum rf_status rf_vocab_eot(const struct rf_vocab *vocab, rf_token *token);

/**
 * The token that stands for what has no token.
 *
 * @param vocab The vocabulary.
 * @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
 */
enum rf_status rf_vocab_unk(const struct rf_vocab *vocab, rf_token *token);

/**
 * The token that separates sentences.
 *
 * @param vocab The vocabulary.
 * @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
 */
enum rf_status rf_vocab_sep(const struct rf_vocab *vocab, rf_token *token);

/**
 * The token that is a newline.
 *
 * @param vocab The vocabulary.
 * @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
 */
enum rf_status rf_vocab_nl(const struct rf_vocab *vocab, rf_token *token);

/**
 * The token that pads.
 *
 * @param vocab The vocabulary.
 * @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
 */
enum rf_status rf_vocab_pad(const struct rf_vocab *vocab, rf_token *token);

/**
 * The token that stands for a masked word.
 *
 * @param vocab The vocabulary.
 * @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
 */
enum rf_status rf_vocab_mask(const struct rf_vocab *vocab, rf_token *token);

/**
 * The token that comes before the prefix in infilling.
 *
 * @param vocab The vocabulary.
 * @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
 */
enum rf_status rf_vocab_fim_pre(const struct rf_vocab *vocab, rf_token *token);

/**
 * The token that comes before the suffix in infilling.
 *
 * @param vocab The vocabulary.
 * @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
 */
enum rf_status rf_vocab_fim_suf(const struct rf_vocab *vocab, rf_token *token);

/**
 * The token that comes before the middle in infilling.
 *
 * @param vocab The vocabulary.
 * @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
 */
enum rf_status rf_vocab_fim_mid(const struct rf_vocab *vocab, rf_token *token);

/**
 * The token that pads in infilling.
 *
 * @param vocab The vocabulary.
 * @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
 */
enum rf_status rf_vocab_fim_pad(const struct rf_vocab *vocab, rf_token *token);

/**
 * The token that comes before a repository's name in infilling.
 *
 * @param vocab The vocabulary.
 * @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
 */
enum rf_status rf_vocab_fim_rep(const struct rf_vocab *vocab, rf_token *token);

/**
 * The token that comes before a file in infilling.
 *
 * @param vocab The vocabulary.
 * @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
 */
enum rf_status rf_vocab_fim_sep(const struct rf_vocab *vocab, rf_token *token);

/**
 * The tokens of a text.
 *
 * @param vocab         The vocabulary.
 * @param text          The text; need not be valid UTF-8 and may hold NULs.
 * @param text_len      Its bytes.
 * @param tokens        Array for the tokens, or NULL to ask for their number.
 * @param n_tokens_max  Tokens that the array has room for.
 * @param add_special   Add the tokens that begin and end a text, as the model wants them.
 * @param parse_special Read control tokens written out in the text as such, not as text. Leave it
 *                      off for text that others wrote.
 * @param n_tokens      Receives the number of tokens; may be NULL if tokens is not.
 * @return RF_STATUS_BUFFER_TOO_SMALL if the array is too small (nothing is written to it),
 *         RF_STATUS_UNSUPPORTED if the model has no vocabulary.
 */
enum rf_status rf_tokenize(const struct rf_vocab *vocab,
                           const char *text,
                           size_t text_len,
                           rf_token *tokens,
                           size_t n_tokens_max,
                           bool add_special,
                           bool parse_special,
                           size_t *n_tokens);

/**
 * What a token prints as. It may be part of a character: to stream text, use rf_detokenizer_new().
 *
 * @param vocab   The vocabulary.
 * @param token   The token; RF_STATUS_INVALID_ARGUMENT if out of range.
 * @param special Print control tokens too; otherwise they print as nothing.
 * @param buf     Buffer for the bytes, which may hold NULs, or NULL to ask for their number.
 * @param size    Bytes of the buffer.
 * @param len     Receives the length without the final NUL; may be NULL if buf is not.
 */
enum rf_status rf_token_to_piece(const struct rf_vocab *vocab,
                                 rf_token token,
                                 bool special,
                                 char *buf,
                                 size_t size,
                                 size_t *len);

/**
 * The text of tokens: what rf_tokenize() made them of, as far as the vocabulary keeps it.
 *
 * @param vocab           The vocabulary.
 * @param tokens          The tokens.
 * @param n_tokens        Their number.
 * @param remove_special  Leave out the tokens that rf_tokenize() adds at the beginning and end.
 * @param unparse_special Write control tokens out; otherwise they are left out.
 * @param buf             Buffer for the text, which may hold NULs, or NULL to ask for its length.
 * @param size            Bytes of the buffer.
 * @param len             Receives the length without the final NUL; may be NULL if buf is not.
 */
enum rf_status rf_detokenize(const struct rf_vocab *vocab,
                             const rf_token *tokens,
                             size_t n_tokens,
                             bool remove_special,
                             bool unparse_special,
                             char *buf,
                             size_t size,
                             size_t *len);

/**
 * Why the last call on this vocabulary that failed failed, on whatever thread; empty if none did.
 *
 * @param vocab The vocabulary.
 * @param buf   Buffer for the message, or NULL to ask for its length.
 * @param size  Bytes of the buffer.
 * @param len   Receives the length without the NUL; may be NULL if buf is not.
 */
enum rf_status rf_vocab_last_error(const struct rf_vocab *vocab,
                                   char *buf,
                                   size_t size,
                                   size_t *len);

/**
 * A detokenizer over a vocabulary. It keeps what it needs of the model alive.
 *
 * @param vocab       The vocabulary.
 * @param special     Write control tokens out; otherwise they give nothing.
 * @param detokenizer Receives it, to be freed with rf_detokenizer_free(); NULL on failure.
 */
enum rf_status rf_detokenizer_new(const struct rf_vocab *vocab,
                                  bool special,
                                  struct rf_detokenizer **detokenizer);

/**
 * Takes a token and gives the characters that it completes, maybe none.
 *
 * @param detokenizer The detokenizer.
 * @param token       The token; RF_STATUS_INVALID_ARGUMENT if out of range, and nothing changes.
 * @param buf         Buffer for the text, or NULL to ask for its length.
 * @param size        Bytes of the buffer.
 * @param len         Receives the length without the NUL; may be NULL if buf is not.
 * @return RF_STATUS_BUFFER_TOO_SMALL if the buffer is too small. The token has been taken then:
 *         rf_detokenizer_text() gives its text.
 */
enum rf_status rf_detokenizer_push(struct rf_detokenizer *detokenizer,
                                   rf_token token,
                                   char *buf,
                                   size_t size,
                                   size_t *len);

/**
 * Ends the stream: gives U+FFFD for a character that was begun and not completed, mostly nothing.
 * The detokenizer is then as new.
 *
 * @param detokenizer The detokenizer.
 * @param buf         Buffer for the text, or NULL to ask for its length.
 * @param size        Bytes of the buffer.
 * @param len         Receives the length without the NUL; may be NULL if buf is not.
 * @return As rf_detokenizer_push().
 */
enum rf_status rf_detokenizer_finish(struct rf_detokenizer *detokenizer,
                                     char *buf,
                                     size_t size,
                                     size_t *len);

/**
 * The text that the last rf_detokenizer_push() or rf_detokenizer_finish() gave, once more.
 *
 * @param detokenizer The detokenizer.
 * @param buf         Buffer for the text, or NULL to ask for its length.
 * @param size        Bytes of the buffer.
 * @param len         Receives the length without the NUL; may be NULL if buf is not.
 */
enum rf_status rf_detokenizer_text(const struct rf_detokenizer *detokenizer,
                                   char *buf,
                                   size_t size,
                                   size_t *len);

/**
 * Frees a detokenizer. NULL is nothing to free.
 *
 * @param detokenizer The detokenizer.
 */
void rf_detokenizer_free(struct rf_detokenizer *detokenizer);

/**
 * Why the last call on this detokenizer that failed failed; empty if none did.
 *
 * @param detokenizer The detokenizer.
 * @param buf         Buffer for the message, or NULL to ask for its length.
 * @param size        Bytes of the buffer.
 * @param len         Receives the length without the NUL; may be NULL if buf is not.
 */
enum rf_status rf_detokenizer_last_error(const struct rf_detokenizer *detokenizer,
                                         char *buf,
                                         size_t size,
                                         size_t *len);

/**
 * The chat template that comes with a model: its source, in Jinja.
 *
 * @param model The model.
 * @param name  Which one, of a model that has several ("tool_use"); NULL for the main one.
 * @param buf   Buffer for the source, or NULL to ask for its length.
 * @param size  Bytes of the buffer.
 * @param len   Receives the length without the NUL; may be NULL if buf is not.
 * @return RF_STATUS_NOT_FOUND if the model has no such template.
 */
enum rf_status rf_model_chat_template(const struct rf_model *model,
                                      const char *name,
                                      char *buf,
                                      size_t size,
                                      size_t *len);

/**
 * The text of a conversation, to be tokenized with parse_special, and without add_special, because
 * templates write the token that begins a text themselves.
 *
 * @param model         The model, whose beginning and end of text the template may write.
 * @param tmpl          The template in Jinja; NULL for the model's own.
 * @param messages      The messages, in order.
 * @param n_messages    Their number.
 * @param add_assistant End with what begins an answer of the assistant.
 * @param extra_json    More variables for the template ("tools", "enable_thinking", ...), as a JSON
 *                      object; NULL for none.
 * @param buf           Buffer for the text, or NULL to ask for its length.
 * @param size          Bytes of the buffer.
 * @param len           Receives the length without the NUL; may be NULL if buf is not.
 * @return RF_STATUS_NOT_FOUND if tmpl is NULL and the model has no template; the error of the
 *         template otherwise, such as one that it raises for roles that it does not know.
 */
enum rf_status rf_chat_apply_template(const struct rf_model *model,
                                      const char *tmpl,
                                      const struct rf_chat_message *messages,
                                      size_t n_messages,
                                      bool add_assistant,
                                      const char *extra_json,
                                      char *buf,
                                      size_t size,
                                      size_t *len);

/**
 * A batch.
 *
 * @param n_tokens_max Tokens that it has room for, at least 1.
 * @param n_seq_max    Sequences that one token may belong to, 1 to 256.
 * @param batch        Receives it, to be freed with rf_batch_free(); NULL on failure.
 */
enum rf_status rf_batch_new(int32_t n_tokens_max, int32_t n_seq_max, struct rf_batch **batch);

/**
 * Frees a batch. NULL is nothing to free.
 *
 * @param batch The batch.
 */
void rf_batch_free(struct rf_batch *batch);

/**
 * Empties a batch.
 *
 * @param batch The batch.
 */
enum rf_status rf_batch_clear(struct rf_batch *batch);

/**
 * Adds a token to a batch.
 *
 * @param batch    The batch.
 * @param token    The token. Whether it and its position are right is seen by rf_decode().
 * @param pos      Its position.
 * @param seq_ids  The sequences that it belongs to. It attends to the tokens of the first, so all
 *                 must have the same tokens before it.
 * @param n_seq_id Their number, 1 to the batch's n_seq_max.
 * @param logits   Whether its logits are wanted.
 * @return RF_STATUS_BATCH_FULL if the batch has no room.
 */
enum rf_status rf_batch_add(struct rf_batch *batch,
                            rf_token token,
                            rf_pos pos,
                            const rf_seq_id *seq_ids,
                            size_t n_seq_id,
                            bool logits);

/**
 * Adds tokens of one sequence at consecutive positions, with logits for the last one: a prompt, or
 * with n_tokens = 1 the next token.
 *
 * @param batch    The batch.
 * @param tokens   The tokens.
 * @param n_tokens Their number.
 * @param pos      The position of the first.
 * @param seq_id   The sequence.
 * @return RF_STATUS_BATCH_FULL if the batch has no room for all; none is added then.
 */
enum rf_status rf_batch_add_seq(struct rf_batch *batch,
                                const rf_token *tokens,
                                size_t n_tokens,
                                rf_pos pos,
                                rf_seq_id seq_id);

/**
 * Asks for the logits of a token in a batch, or not.
 *
 * @param batch  The batch.
 * @param index  The token: 0 to rf_batch_n_tokens() - 1.
 * @param logits Whether its logits are wanted.
 */
enum rf_status rf_batch_set_logits(struct rf_batch *batch, int32_t index, bool logits);

/**
 * The number of tokens in a batch.
 *
 * @param batch    The batch.
 * @param n_tokens Receives the number.
 */
enum rf_status rf_batch_n_tokens(const struct rf_batch *batch, int32_t *n_tokens);

/**
 * Why the last call on this batch that failed failed; empty if none did. A failure of rf_decode()
 * is the context's.
 *
 * @param batch The batch.
 * @param buf   Buffer for the message, or NULL to ask for its length.
 * @param size  Bytes of the buffer.
 * @param len   Receives the length without the NUL; may be NULL if buf is not.
 */
enum rf_status rf_batch_last_error(const struct rf_batch *batch,
                                   char *buf,
                                   size_t size,
                                   size_t *len);

/**
 * Fills in the defaults.
 *
 * @param params      The parameters.
 * @param struct_size sizeof(rf_context_params).
 */
enum rf_status rf_context_params_init(struct rf_context_params *params, size_t struct_size);

/**
 * A context over a model. Its KV cache is allocated here, once. It keeps what it needs of the model
 * alive.
 *
 * @param model   The model.
 * @param params  How to make it; NULL for the defaults.
 * @param context Receives it, to be freed with rf_context_free(); NULL on failure.
 * @return RF_STATUS_INVALID_ARGUMENT (a parameter out of range, or a model loaded with
 *         vocab_only), RF_STATUS_UNSUPPORTED (a type), RF_STATUS_OUT_OF_MEMORY, RF_STATUS_BACKEND.
 */
enum rf_status rf_context_new(const struct rf_model *model,
                              const struct rf_context_params *params,
                              struct rf_context **context);

/**
 * Frees a context. NULL is nothing to free.
 *
 * @param context The context.
 */
void rf_context_free(struct rf_context *context);

/**
 * The cells of a context's KV cache.
 *
 * @param context The context.
 * @param n       Receives the number.
 */
enum rf_status rf_n_ctx(const struct rf_context *context, int32_t *n);

/**
 * Most tokens of one rf_decode().
 *
 * @param context The context.
 * @param n       Receives the number.
 */
enum rf_status rf_n_batch(const struct rf_context *context, int32_t *n);

/**
 * Most tokens that are computed at a time.
 *
 * @param context The context.
 * @param n       Receives the number.
 */
enum rf_status rf_n_ubatch(const struct rf_context *context, int32_t *n);

/**
 * The sequences of a context.
 *
 * @param context The context.
 * @param n       Receives the number.
 */
enum rf_status rf_n_seq_max(const struct rf_context *context, int32_t *n);

/**
 * The threads that compute a single token.
 *
 * @param context The context.
 * @param n       Receives the number.
 */
enum rf_status rf_n_threads(const struct rf_context *context, int32_t *n);

/**
 * The threads that compute prompts.
 *
 * @param context The context.
 * @param n       Receives the number.
 */
enum rf_status rf_n_threads_batch(const struct rf_context *context, int32_t *n);

/**
 * Changes the number of threads.
 *
 * @param context         The context.
 * @param n_threads       For a single token; 0 takes the processors available.
 * @param n_threads_batch For prompts; 0 takes the processors available.
 */
enum rf_status rf_set_n_threads(struct rf_context *context,
                                int32_t n_threads,
                                int32_t n_threads_batch);

/**
 * Sets the function that can stop a decode.
 *
 * @param context   The context.
 * @param callback  The function; NULL for none.
 * @param user_data Handed to it.
 */
enum rf_status rf_set_abort_callback(struct rf_context *context,
                                     rf_abort_callback callback,
                                     void *user_data);

/**
 * Runs the tokens of a batch through the model, writes them to the KV cache and keeps the logits
 * that were asked for. The tokens of a sequence must have consecutive positions that go on where
 * the sequence ends in the cache. After a failure the cache is as it was before the call; logits of
 * earlier decodes are gone either way.
 *
 * @param context The context.
 * @param batch   The batch, which stays as it is.
 * @return RF_STATUS_KV_FULL if the cache has no room for all tokens, RF_STATUS_ABORTED if the abort
 *         callback said so, RF_STATUS_INVALID_ARGUMENT for an empty or too long batch, a token, a
 *         position or a sequence that is out of range.
 */
enum rf_status rf_decode(struct rf_context *context, const struct rf_batch *batch);

/**
 * Waits until all work of a context is done. On the CPU rf_decode() returns when it is, and this
 * returns at once; programs that time a decode call it for the devices where that is not so.
 *
 * @param context The context.
 */
enum rf_status rf_synchronize(struct rf_context *context);

/**
 * The logits of all tokens of the last decode whose logits were wanted, row after row in the order
 * of the batch; each row has rf_model_n_vocab() numbers.
 *
 * @param context  The context.
 * @param logits   Receives memory of the context, valid until the next rf_decode() or
 *                 rf_context_free().
 * @param n_logits Receives how many numbers there are.
 * @return RF_STATUS_INVALID_ARGUMENT if the last decode failed or asked for none.
 */
enum rf_status rf_get_logits(const struct rf_context *context,
                             const float **logits,
                             size_t *n_logits);

/**
 * The logits of one token of the last decode.
 *
 * @param context  The context.
 * @param index    The token's place in the batch; or, if negative, counted from the last token
 *                 whose logits were wanted: -1 is that one.
 * @param logits   Receives memory of the context, valid until the next rf_decode() or
 *                 rf_context_free().
 * @param n_logits Receives how many numbers there are: rf_model_n_vocab().
 * @return RF_STATUS_INVALID_ARGUMENT if there is no such token or its logits were not wanted.
 */
enum rf_status rf_get_logits_ith(const struct rf_context *context,
                                 int32_t index,
                                 const float **logits,
                                 size_t *n_logits);

/**
 * Why the last call on this context that failed failed; empty if none did.
 *
 * @param context The context.
 * @param buf     Buffer for the message, or NULL to ask for its length.
 * @param size    Bytes of the buffer.
 * @param len     Receives the length without the NUL; may be NULL if buf is not.
 */
enum rf_status rf_context_last_error(const struct rf_context *context,
                                     char *buf,
                                     size_t size,
                                     size_t *len);

/**
 * Turns embeddings on or off for the decodes to come. Without pooling, every token whose logits are
 * wanted has an embedding too. With pooling every token of a batch counts, there is one embedding
 * per sequence and batch, and logits are not computed. Outputs of earlier decodes are gone.
 *
 * @param context    The context.
 * @param embeddings Whether embeddings are wanted.
 */
enum rf_status rf_set_embeddings(struct rf_context *context, bool embeddings);

/**
 * How a context pools embeddings.
 *
 * @param context The context.
 * @param pooling Receives an rf_pooling, never RF_POOLING_UNSPECIFIED.
 */
enum rf_status rf_pooling_type(const struct rf_context *context, int32_t *pooling);

/**
 * The embeddings of all tokens of the last decode whose logits were wanted, row after row in the
 * order of the batch; each row has rf_model_n_embd() numbers. Only without pooling.
 *
 * @param context      The context.
 * @param embeddings   Receives memory of the context, valid until the next rf_decode(),
 *                     rf_set_embeddings() or rf_context_free().
 * @param n_embeddings Receives how many numbers there are.
 * @return RF_STATUS_INVALID_ARGUMENT if there are none.
 */
enum rf_status rf_get_embeddings(const struct rf_context *context,
                                 const float **embeddings,
                                 size_t *n_embeddings);

/**
 * The embedding of one token of the last decode. Only without pooling.
 *
 * @param context      The context.
 * @param index        The token's place in the batch; or, if negative, counted from the last token
 *                     whose logits were wanted: -1 is that one.
 * @param embedding    Receives memory of the context, valid until the next rf_decode(),
 *                     rf_set_embeddings() or rf_context_free().
 * @param n_embd       Receives how many numbers there are: rf_model_n_embd().
 * @return RF_STATUS_INVALID_ARGUMENT if there is none.
 */
enum rf_status rf_get_embeddings_ith(const struct rf_context *context,
                                     int32_t index,
                                     const float **embedding,
                                     size_t *n_embd);

/**
 * The pooled embedding of the tokens that the last decode had of a sequence. Only with pooling.
 *
 * @param context   The context.
 * @param seq_id    The sequence.
 * @param embedding Receives memory of the context, valid until the next rf_decode(),
 *                  rf_set_embeddings() or rf_context_free().
 * @param n_embd    Receives how many numbers there are: rf_model_n_embd().
 * @return RF_STATUS_INVALID_ARGUMENT if there is none.
 */
enum rf_status rf_get_embeddings_seq(const struct rf_context *context,
                                     int32_t seq_id,
                                     const float **embedding,
                                     size_t *n_embd);

/**
 * Empties the KV cache of a context.
 *
 * @param context The context.
 */
enum rf_status rf_memory_clear(struct rf_context *context);

/**
 * Removes tokens of a sequence from the KV cache.
 *
 * @param context The context.
 * @param seq_id  The sequence; negative for every one.
 * @param p0      The first position to remove; negative for 0.
 * @param p1      The first position to keep again; negative for none.
 * @return RF_STATUS_INVALID_ARGUMENT if there is no such sequence.
 */
enum rf_status rf_memory_seq_rm(struct rf_context *context, rf_seq_id seq_id, rf_pos p0, rf_pos p1);

/**
 * Makes tokens of one sequence tokens of another too. Nothing is copied: the two share cells.
 *
 * @param context    The context.
 * @param seq_id_src The sequence that has the tokens.
 * @param seq_id_dst The sequence that gets them.
 * @param p0         The first position; negative for 0.
 * @param p1         The position after the last; negative for all.
 * @return RF_STATUS_INVALID_ARGUMENT if there is no such sequence.
 */
enum rf_status rf_memory_seq_cp(struct rf_context *context,
                                rf_seq_id seq_id_src,
                                rf_seq_id seq_id_dst,
                                rf_pos p0,
                                rf_pos p1);

/**
 * Removes every sequence but one from the KV cache.
 *
 * @param context The context.
 * @param seq_id  The sequence to keep.
 * @return RF_STATUS_INVALID_ARGUMENT if there is no such sequence.
 */
enum rf_status rf_memory_seq_keep(struct rf_context *context, rf_seq_id seq_id);

/**
 * Moves tokens of a sequence to other positions. Tokens that would come to lie before position 0
 * are removed. The keys are rotated at the next rf_decode().
 *
 * @param context The context.
 * @param seq_id  The sequence.
 * @param p0      The first position to move; negative for 0.
 * @param p1      The position after the last; negative for all.
 * @param delta   By how much.
 * @return RF_STATUS_INVALID_ARGUMENT if there is no such sequence, a position would overflow, or
 *         another sequence shares a token.
 */
enum rf_status rf_memory_seq_add(struct rf_context *context,
                                 rf_seq_id seq_id,
                                 rf_pos p0,
                                 rf_pos p1,
                                 rf_pos delta);

/**
 * Divides the positions of tokens of a sequence, rounding down, so that several tokens share one. The
 * keys are rotated at the next rf_decode().
 *
 * @param context The context.
 * @param seq_id  The sequence.
 * @param p0      The first position to divide; negative for 0.
 * @param p1      The position after the last; negative for all.
 * @param d       By what; at least 1.
 * @return RF_STATUS_INVALID_ARGUMENT if there is no such sequence, d is below 1, or another sequence
 *         shares a token.
 */
enum rf_status rf_memory_seq_div(struct rf_context *context,
                                 rf_seq_id seq_id,
                                 rf_pos p0,
                                 rf_pos p1,
                                 int32_t d);

/**
 * Whether tokens can move to other positions: rf_memory_seq_add() and rf_memory_seq_div(). They can in
 * every model that this version computes.
 *
 * @param context   The context.
 * @param can_shift Receives the answer.
 */
enum rf_status rf_memory_can_shift(const struct rf_context *context,
                                   bool *can_shift);

/**
 * The lowest position of a sequence in the KV cache.
 *
 * @param context The context.
 * @param seq_id  The sequence; RF_STATUS_INVALID_ARGUMENT if there is no such.
 * @param pos     Receives the position, -1 if the sequence has no tokens.
 */
enum rf_status rf_memory_seq_pos_min(const struct rf_context *context,
                                     rf_seq_id seq_id,
                                     rf_pos *pos);

/**
 * The highest position of a sequence in the KV cache.
 *
 * @param context The context.
 * @param seq_id  The sequence; RF_STATUS_INVALID_ARGUMENT if there is no such.
 * @param pos     Receives the position, -1 if the sequence has no tokens.
 */
enum rf_status rf_memory_seq_pos_max(const struct rf_context *context,
                                     rf_seq_id seq_id,
                                     rf_pos *pos);

/**
 * How many cells of the KV cache are in use, of the rf_n_ctx() that there are.
 *
 * @param context The context.
 * @param n       Receives the number.
 */
enum rf_status rf_memory_n_used(const struct rf_context *context, int32_t *n);

/**
 * The size of a context's state: what rf_state_get_data() writes.
 *
 * @param context The context.
 * @param size    Receives the bytes.
 */
enum rf_status rf_state_get_size(const struct rf_context *context, size_t *size);

/**
 * Writes the state of a context: all sequences in the KV cache, and the logits of the last
 * rf_decode(). Samplers and parameters are not part of it. Keys that wait to be moved (see
 * rf_memory_seq_add()) are moved first.
 *
 * @param context The context.
 * @param data    Buffer for the state, or NULL to ask for its size.
 * @param size    Bytes of the buffer.
 * @param len     Receives the size of the state; may be NULL if data is not.
 * @return RF_STATUS_BUFFER_TOO_SMALL if the buffer does not take it all; nothing is written then.
 */
enum rf_status rf_state_get_data(struct rf_context *context,
                                 uint8_t *data,
                                 size_t size,
                                 size_t *len);

/**
 * Restores a state that rf_state_get_data() wrote. The context may have another size than the one that it
 * was saved from. After a failure the context is as it was before.
 *
 * @param context The context.
 * @param data    The state.
 * @param size    Its bytes.
 * @return RF_STATUS_FORMAT for what is no state, or one that is damaged or cut short;
 *         RF_STATUS_UNSUPPORTED for one of a newer library; RF_STATUS_INVALID_ARGUMENT for one of another
 *         model, of other types of the KV cache, of more sequences than the context has, or of a
 *         single sequence; RF_STATUS_KV_FULL if its tokens do not fit.
 */
enum rf_status rf_state_set_data(struct rf_context *context,
                                 const uint8_t *data,
                                 size_t size);

/**
 * Writes the state of a context, and the tokens of a session, to a file. A file of this name is
 * replaced once the new one is whole.
 *
 * @param context  The context.
 * @param path     The file.
 * @param tokens   Tokens that rf_state_load_file() gives back: usually all that are in the context.
 * @param n_tokens How many.
 * @return RF_STATUS_IO.
 */
enum rf_status rf_state_save_file(struct rf_context *context,
                                  const char *path,
                                  const rf_token *tokens,
                                  size_t n_tokens);

/**
 * Restores a state that rf_state_save_file() wrote. After a failure the context is as it was before.
 *
 * @param context    The context.
 * @param path       The file.
 * @param tokens     Receives the tokens of the session; NULL if they are not wanted.
 * @param n_max      How many there is room for.
 * @param n_tokens   Receives how many there are; may be NULL.
 * @return As rf_state_set_data(), RF_STATUS_IO, and RF_STATUS_BUFFER_TOO_SMALL if there is too little
 *         room for the tokens.
 */
enum rf_status rf_state_load_file(struct rf_context *context,
                                  const char *path,
                                  rf_token *tokens,
                                  size_t n_max,
                                  size_t *n_tokens);

/**
 * The size of the state of one sequence: what rf_state_seq_get_data() writes.
 *
 * @param context The context.
 * @param seq_id  The sequence.
 * @param size    Receives the bytes.
 */
enum rf_status rf_state_seq_get_size(const struct rf_context *context,
                                     rf_seq_id seq_id,
                                     size_t *size);

/**
 * Writes the state of one sequence: its tokens in the KV cache.
 *
 * @param context The context.
 * @param seq_id  The sequence.
 * @param data    Buffer for the state, or NULL to ask for its size.
 * @param size    Bytes of the buffer.
 * @param len     Receives the size of the state; may be NULL if data is not.
 * @return RF_STATUS_BUFFER_TOO_SMALL if the buffer does not take it all; nothing is written then.
 */
enum rf_status rf_state_seq_get_data(struct rf_context *context,
                                     rf_seq_id seq_id,
                                     uint8_t *data,
                                     size_t size,
                                     size_t *len);

/**
 * Restores a state that rf_state_seq_get_data() wrote, in place of the tokens of a sequence, which need not be
 * the one that was saved. Other sequences stay. After a failure the context is as it was before.
 *
 * @param context     The context.
 * @param dest_seq_id The sequence that is replaced.
 * @param data        The state.
 * @param size        Its bytes.
 * @return As rf_state_set_data().
 */
enum rf_status rf_state_seq_set_data(struct rf_context *context,
                                     rf_seq_id dest_seq_id,
                                     const uint8_t *data,
                                     size_t size);

/**
 * Writes the state of one sequence, and its tokens, to a file. A file of this name is replaced once
 * the new one is whole.
 *
 * @param context  The context.
 * @param path     The file.
 * @param seq_id   The sequence.
 * @param tokens   Tokens that rf_state_seq_load_file() gives back.
 * @param n_tokens How many.
 * @return RF_STATUS_IO.
 */
enum rf_status rf_state_seq_save_file(struct rf_context *context,
                                      const char *path,
                                      rf_seq_id seq_id,
                                      const rf_token *tokens,
                                      size_t n_tokens);

/**
 * Restores a state that rf_state_seq_save_file() wrote, as rf_state_seq_set_data() does.
 *
 * @param context     The context.
 * @param path        The file.
 * @param dest_seq_id The sequence that is replaced.
 * @param tokens      Receives the tokens; NULL if they are not wanted.
 * @param n_max       How many there is room for.
 * @param n_tokens    Receives how many there are; may be NULL.
 * @return As rf_state_load_file().
 */
enum rf_status rf_state_seq_load_file(struct rf_context *context,
                                      const char *path,
                                      rf_seq_id dest_seq_id,
                                      rf_token *tokens,
                                      size_t n_max,
                                      size_t *n_tokens);

/**
 * What a context has done, and how long it took.
 *
 * @param context The context.
 * @param data    Receives it; its struct_size is set by the caller.
 */
enum rf_status rf_perf_context(const struct rf_context *context, struct rf_perf_context_data *data);

/**
 * Sets what a context has done to nothing.
 *
 * @param context The context.
 */
enum rf_status rf_perf_context_reset(struct rf_context *context);

/**
 * A chain without samplers, to which rf_sampler_chain_add() adds. The samplers run in order; the
 * last is one that selects: rf_sampler_init_dist() or rf_sampler_init_greedy().
 *
 * @param chain Receives it, to be freed with rf_sampler_free(); NULL on failure.
 */
enum rf_status rf_sampler_chain_init(struct rf_sampler **chain);

/**
 * Appends a sampler to a chain.
 *
 * @param chain   The chain.
 * @param sampler The sampler, which may be a chain itself. On success it belongs to the chain and
 *                must not be used or freed any more; on failure it stays the caller's.
 */
enum rf_status rf_sampler_chain_add(struct rf_sampler *chain, struct rf_sampler *sampler);

/**
 * Puts a sampler into a chain.
 *
 * @param chain   The chain.
 * @param index   The place that it gets, 0 to rf_sampler_chain_n().
 * @param sampler The sampler. On success it belongs to the chain and must not be used or freed any
 *                more; on failure it stays the caller's.
 */
enum rf_status rf_sampler_chain_insert(struct rf_sampler *chain,
                                       int32_t index,
                                       struct rf_sampler *sampler);

/**
 * Takes a sampler out of a chain.
 *
 * @param chain   The chain.
 * @param index   Its place, 0 to rf_sampler_chain_n() - 1; RF_STATUS_NOT_FOUND otherwise.
 * @param sampler Receives it, to be freed with rf_sampler_free(); NULL on failure.
 */
enum rf_status rf_sampler_chain_remove(struct rf_sampler *chain,
                                       int32_t index,
                                       struct rf_sampler **sampler);

/**
 * The number of samplers in a chain.
 *
 * @param chain The chain.
 * @param n     Receives the number.
 */
enum rf_status rf_sampler_chain_n(const struct rf_sampler *chain, int32_t *n);

/**
 * The name of a sampler in a chain: "top-k".
 *
 * @param chain The chain.
 * @param index Its place, 0 to rf_sampler_chain_n() - 1; RF_STATUS_NOT_FOUND otherwise.
 * @param buf   Buffer for the name, or NULL to ask for its length.
 * @param size  Bytes of the buffer.
 * @param len   Receives the length without the NUL; may be NULL if buf is not.
 */
enum rf_status rf_sampler_chain_get_name(const struct rf_sampler *chain,
                                         int32_t index,
                                         char *buf,
                                         size_t size,
                                         size_t *len);

/**
 * The name of a sampler: "top-k", or "chain".
 *
 * @param sampler The sampler.
 * @param buf     Buffer for the name, or NULL to ask for its length.
 * @param size    Bytes of the buffer.
 * @param len     Receives the length without the NUL; may be NULL if buf is not.
 */
enum rf_status rf_sampler_name(const struct rf_sampler *sampler,
                               char *buf,
                               size_t size,
                               size_t *len);

/**
 * A copy of a sampler with the same settings and the same state.
 *
 * @param sampler The sampler.
 * @param copy    Receives the copy, to be freed with rf_sampler_free(); NULL on failure.
 */
enum rf_status rf_sampler_clone(const struct rf_sampler *sampler, struct rf_sampler **copy);

/**
 * Makes a sampler forget the tokens accepted, and start its random numbers again.
 *
 * @param sampler The sampler.
 */
enum rf_status rf_sampler_reset(struct rf_sampler *sampler);

/**
 * Tells a sampler that a token is now part of the text. rf_sampler_sample() does so by itself; this
 * is for tokens that came another way, such as a prompt that penalties are to count.
 *
 * @param sampler The sampler.
 * @param token   The token, 0 or more.
 */
enum rf_status rf_sampler_accept(struct rf_sampler *sampler, rf_token token);

/**
 * Selects a token from logits of the last rf_decode(), and accepts it.
 *
 * @param sampler The sampler: one that selects, or a chain that ends in one.
 * @param context The context.
 * @param index   Whose logits, as in rf_get_logits_ith(): -1 for those of the last token.
 * @param token   Receives the token, RF_TOKEN_NULL on failure.
 * @return RF_STATUS_INVALID_ARGUMENT if there are no such logits, one of them is NaN, none is
 *         possible, or no sampler selects. Nothing is accepted then.
 */
enum rf_status rf_sampler_sample(struct rf_sampler *sampler,
                                 const struct rf_context *context,
                                 int32_t index,
                                 rf_token *token);

/**
 * Runs a sampler on candidates of the caller's. Nothing is accepted.
 *
 * @param sampler  The sampler.
 * @param data     The candidates, which the sampler changes, drops and reorders.
 * @param n_data   Their number, before and after.
 * @param selected Receives the place among them of the one selected, -1 if none was.
 * @return RF_STATUS_INVALID_ARGUMENT if a logit is NaN or the sampler fails on them; the candidates
 *         are then as before.
 */
enum rf_status rf_sampler_apply(struct rf_sampler *sampler,
                                struct rf_token_data *data,
                                size_t *n_data,
                                int64_t *selected);

/**
 * The seed in use by a sampler, which tells the one drawn where RF_RANDOM_SEED was asked for.
 *
 * @param sampler The sampler.
 * @param seed    Receives the seed, RF_RANDOM_SEED if it draws no random numbers.
 */
enum rf_status rf_sampler_get_seed(const struct rf_sampler *sampler, uint32_t *seed);

/**
 * Frees a sampler; a chain with all that is in it. NULL is nothing to free.
 *
 * @param sampler The sampler; not one that has been added to a chain.
 */
void rf_sampler_free(struct rf_sampler *sampler);

/**
 * Why the last call on this sampler that failed failed; empty if none did.
 *
 * @param sampler The sampler.
 * @param buf     Buffer for the message, or NULL to ask for its length.
 * @param size    Bytes of the buffer.
 * @param len     Receives the length without the NUL; may be NULL if buf is not.
 */
enum rf_status rf_sampler_last_error(const struct rf_sampler *sampler,
                                     char *buf,
                                     size_t size,
                                     size_t *len);

/**
 * Selects the most likely token.
 *
 * @param sampler Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
 *                on failure.
 */
enum rf_status rf_sampler_init_greedy(struct rf_sampler **sampler);

/**
 * Selects a token at random, by the probabilities. The same seed on the same logits gives the same
 * tokens, on any machine.
 *
 * @param seed    The seed; RF_RANDOM_SEED takes one from the operating system.
 * @param sampler Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
 *                on failure.
 */
enum rf_status rf_sampler_init_dist(uint32_t seed, struct rf_sampler **sampler);

/**
 * Divides the logits by a temperature.
 *
 * @param temp    The temperature: 1 changes nothing, 0 and less leave only the most likely token.
 * @param sampler Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
 *                on failure.
 */
enum rf_status rf_sampler_init_temp(float temp, struct rf_sampler **sampler);

/**
 * Keeps the most likely tokens.
 *
 * @param k       How many; 0 and less keep all.
 * @param sampler Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
 *                on failure.
 */
enum rf_status rf_sampler_init_top_k(int32_t k, struct rf_sampler **sampler);

/**
 * Keeps the fewest most likely tokens whose probabilities sum to at least p.
 *
 * @param p        The sum; 1 and more keep all.
 * @param min_keep Never keep fewer.
 * @param sampler  Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
 *                 on failure.
 */
enum rf_status rf_sampler_init_top_p(float p,
                                     size_t min_keep,
                                     struct rf_sampler **sampler);

/**
 * Keeps the tokens that are at least p times as likely as the most likely one.
 *
 * @param p        The share; 0 and less keep all.
 * @param min_keep Never keep fewer.
 * @param sampler  Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
 *                 on failure.
 */
enum rf_status rf_sampler_init_min_p(float p,
                                     size_t min_keep,
                                     struct rf_sampler **sampler);

/**
 * Keeps the tokens whose information is nearest to what is expected (locally typical sampling), the
 * fewest whose probabilities sum to more than p.
 *
 * @param p        The sum; 1 and more keep all.
 * @param min_keep Never keep fewer.
 * @param sampler  Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
 *                 on failure.
 */
enum rf_status rf_sampler_init_typical(float p,
                                       size_t min_keep,
                                       struct rf_sampler **sampler);

/**
 * Makes the tokens accepted last less likely.
 *
 * @param penalty_last_n  How many of the last tokens count; 0 turns it off.
 * @param penalty_repeat  Divides (multiplies, if negative) the logits of those tokens; 1 is off.
 * @param penalty_freq    Subtracted once for each time that a token occurs; 0 is off.
 * @param penalty_present Subtracted once if a token occurs; 0 is off.
 * @param sampler         Receives the sampler, to be freed with rf_sampler_free() or added to a
 *                        chain; NULL on failure.
 */
enum rf_status rf_sampler_init_penalties(int32_t penalty_last_n,
                                         float penalty_repeat,
                                         float penalty_freq,
                                         float penalty_present,
                                         struct rf_sampler **sampler);

/**
 * Adds numbers to the logits of chosen tokens.
 *
 * @param biases   The tokens and numbers, which are copied. Those of the same token add up; a token
 *                 outside the vocabulary has no effect.
 * @param n_biases Their number.
 * @param sampler  Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
 *                 on failure.
 */
enum rf_status rf_sampler_init_logit_bias(const struct rf_logit_bias *biases,
                                          size_t n_biases,
                                          struct rf_sampler **sampler);

/**
 * Divides the logits by a temperature between temp - delta and temp + delta: low where one token is
 * likely, high where many are (entropy-based dynamic temperature).
 *
 * @param temp     The temperature in the middle.
 * @param delta    How far it moves; 0 and less make this rf_sampler_init_temp().
 * @param exponent Of the share that the entropy is of the largest possible one.
 * @param sampler  Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
 *                 on failure.
 */
enum rf_status rf_sampler_init_temp_ext(float temp,
                                        float delta,
                                        float exponent,
                                        struct rf_sampler **sampler);

/**
 * Makes impossible what is more than n standard deviations of the logits below the largest.
 *
 * @param n       How many; 0 and less change nothing.
 * @param sampler Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
 *                on failure.
 */
enum rf_status rf_sampler_init_top_n_sigma(float n, struct rf_sampler **sampler);

/**
 * Now and then drops the most likely tokens but the least likely of those that are likely enough
 * (exclude top choices).
 *
 * @param p         How often; 0 and less: never.
 * @param threshold From which probability on a token is likely enough; above 0.5 nothing is dropped.
 * @param min_keep  Drop none if fewer would be left.
 * @param seed      The seed; RF_RANDOM_SEED takes one from the operating system.
 * @param sampler   Receives the sampler, to be freed with rf_sampler_free() or added to a chain;
 *                  NULL on failure.
 */
enum rf_status rf_sampler_init_xtc(float p,
                                   float threshold,
                                   size_t min_keep,
                                   uint32_t seed,
                                   struct rf_sampler **sampler);

/**
 * Selects a token so that the surprise of the text stays near tau (Mirostat, version 1).
 *
 * @param n_vocab The size of the vocabulary.
 * @param seed    The seed; RF_RANDOM_SEED takes one from the operating system.
 * @param tau     The surprise aimed at, in bits.
 * @param eta     How fast it learns from what it has selected.
 * @param m       By how many of the most likely tokens it estimates, 2 or more; usually 100.
 * @param sampler Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
 *                on failure.
 */
enum rf_status rf_sampler_init_mirostat(int32_t n_vocab,
                                        uint32_t seed,
                                        float tau,
                                        float eta,
                                        int32_t m,
                                        struct rf_sampler **sampler);

/**
 * Selects a token so that the surprise of the text stays near tau (Mirostat, version 2).
 *
 * @param seed    The seed; RF_RANDOM_SEED takes one from the operating system.
 * @param tau     The surprise aimed at, in bits.
 * @param eta     How fast it learns from what it has selected.
 * @param sampler Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
 *                on failure.
 */
enum rf_status rf_sampler_init_mirostat_v2(uint32_t seed,
                                           float tau,
                                           float eta,
                                           struct rf_sampler **sampler);

/**
 * Selects tokens whose probability is near a target, which moves against the mean of what was
 * selected lately (adaptive-p).
 *
 * @param target  The probability aimed at; below 0 the probabilities stay as they are.
 * @param decay   What is remembered from one token to the next, 0 to 0.99.
 * @param seed    The seed; RF_RANDOM_SEED takes one from the operating system.
 * @param sampler Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
 *                on failure.
 */
enum rf_status rf_sampler_init_adaptive_p(float target,
                                          float decay,
                                          uint32_t seed,
                                          struct rf_sampler **sampler);

/**
 * Makes tokens less likely that would go on with a repetition ("don't repeat yourself"): by
 * multiplier * base ^ (n - allowed_length), where the last n tokens were said before.
 *
 * @param vocab          Spells the breakers. Not needed afterwards.
 * @param multiplier     0 turns it off.
 * @param base           Less than 1 turns it off.
 * @param allowed_length Shorter repetitions are free.
 * @param last_n         How many of the last tokens it looks at; 0 turns it off.
 * @param breakers       Texts at which a repetition ends, UTF-8, each with a 0 at its end; of each
 *                       40 bytes at most are used. They are copied.
 * @param n_breakers     Their number.
 * @param sampler        Receives the sampler, to be freed with rf_sampler_free() or added to a chain;
 *                       NULL on failure.
 */
enum rf_status rf_sampler_init_dry(const struct rf_vocab *vocab,
                                   float multiplier,
                                   float base,
                                   int32_t allowed_length,
                                   int32_t last_n,
                                   const char *const *breakers,
                                   size_t n_breakers,
                                   struct rf_sampler **sampler);

/**
 * For text in the middle of another, behind top-k and top-p: ends it as soon as that is likely enough,
 * and makes one of tokens that begin alike.
 *
 * @param vocab   The vocabulary, which is kept as long as it is needed.
 * @param sampler Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
 *                on failure.
 */
enum rf_status rf_sampler_init_infill(const struct rf_vocab *vocab,
                                      struct rf_sampler **sampler);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ROCMFORGE_H */
