/* From a model file to text, in a page.
 *
 *     cc -std=c99 -Iinclude examples/c/simple.c -Ltarget/release -lrocmforge -o simple
 *     ./simple [MODEL.gguf [PROMPT]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rocmforge.h"

enum { N_PREDICT = 128 };

static rf_model *model;
static rf_context *context;
static rf_batch *batch;
static rf_sampler *chain;
static rf_detokenizer *detokenizer;
static rf_token *prompt;

/* Runs a call; where it fails, says why and leaves generate(). */
#define TRY(call)                                                                                            \
    do {                                                                                                     \
        if ((call) != RF_STATUS_OK) {                                                                        \
            fprintf(stderr, "%s\n", rf_last_error());                                                        \
            return EXIT_FAILURE;                                                                             \
        }                                                                                                    \
    } while (0)

/* Makes a sampler with `init` and hands it to the chain. */
#define ADD(init)                                                                                            \
    do {                                                                                                     \
        rf_sampler *sampler;                                                                                 \
        TRY(init);                                                                                           \
        TRY(rf_sampler_chain_add(chain, sampler));                                                           \
    } while (0)

static int generate(const char *path, const char *text) {
    TRY(rf_model_load(path, NULL, &model));
    const rf_vocab *vocab;
    TRY(rf_model_get_vocab(model, &vocab));

    /* The prompt: first ask how many tokens it has, then take them. */
    size_t n_prompt;
    TRY(rf_tokenize(vocab, text, strlen(text), NULL, 0, true, false, &n_prompt));
    prompt = (rf_token *)malloc(n_prompt * sizeof *prompt);
    if (!prompt) return EXIT_FAILURE;
    TRY(rf_tokenize(vocab, text, strlen(text), prompt, n_prompt, true, false, NULL));

    rf_context_params params;
    TRY(rf_context_params_init(&params, sizeof params));
    params.n_ctx = (int32_t)n_prompt + N_PREDICT;
    params.n_batch = (int32_t)n_prompt;
    TRY(rf_context_new(model, &params, &context));
    TRY(rf_batch_new(params.n_batch, 1, &batch));
    TRY(rf_detokenizer_new(vocab, false, &detokenizer));

    TRY(rf_sampler_chain_init(&chain));
    ADD(rf_sampler_init_top_k(40, &sampler));
    ADD(rf_sampler_init_top_p(0.95f, 1, &sampler));
    ADD(rf_sampler_init_temp(0.8f, &sampler));
    ADD(rf_sampler_init_dist(42, &sampler));

    printf("%s", text);
    TRY(rf_batch_add_seq(batch, prompt, n_prompt, 0, 0));
    for (rf_pos pos = (rf_pos)n_prompt; pos < params.n_ctx; pos++) {
        rf_token token;
        bool end;
        char piece[256];
        TRY(rf_decode(context, batch));
        TRY(rf_sampler_sample(chain, context, -1, &token));
        TRY(rf_vocab_is_eog(vocab, token, &end));
        if (end) break;
        TRY(rf_detokenizer_push(detokenizer, token, piece, sizeof piece, NULL));
        printf("%s", piece);
        fflush(stdout);
        TRY(rf_batch_clear(batch));
        TRY(rf_batch_add_seq(batch, &token, 1, pos, 0));
    }
    printf("\n");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
    int status = generate(argc > 1 ? argv[1] : "models/demo.gguf", argc > 2 ? argv[2] : "Once upon a time");
    free(prompt);
    rf_detokenizer_free(detokenizer);
    rf_sampler_free(chain);
    rf_batch_free(batch);
    rf_context_free(context);
    rf_model_free(model);
    return status;
}
