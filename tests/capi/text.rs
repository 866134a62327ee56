//! Tokens, streams of text, chat templates.

use crate::common::{BOS, EOS, N_VOCAB};
use crate::*;

#[test]
fn text_to_tokens_and_back() {
    let model = load();
    let v = vocab(model);
    let text = "a\0é🦀\u{fffd}!".as_bytes();
    let tokens = tokenize(v, text, true);
    assert_eq!((tokens[0], tokens.len()), (BOS, text.len() + 1));
    assert_eq!(tokenize(v, b"<eos>", true), [BOS, EOS]);
    assert_eq!(tokenize(v, b"<eos>", false).len(), 5);
    assert!(tokenize(v, b"", false).is_empty());
    unsafe {
        let back =
            |b, n, l| rf_detokenize(v, tokens.as_ptr(), tokens.len(), true.into(), false.into(), b, n, l);
        assert_eq!(string(back).as_bytes(), text);
        let piece = |t, special: bool| string(|b, n, l| rf_token_to_piece(v, t, special.into(), b, n, l));
        assert_eq!((piece(EOS, true), piece(EOS, false)), ("<eos>".into(), "".into()));
        assert_eq!(string(|b, n, l| rf_vocab_get_text(v, BOS, b, n, l)), "<bos>");
        assert_eq!(get(|t| rf_vocab_bos(v, t)), BOS);
        assert_eq!(get(|t| rf_vocab_eos(v, t)), EOS);
        assert_eq!(get(|t| rf_vocab_mask(v, t)), RF_TOKEN_NULL);
        assert_eq!(get(|t| rf_vocab_find(v, c"<eos>".as_ptr(), 5, t)), EOS);
        assert_eq!(get(|t| rf_vocab_find(v, c"nothing".as_ptr(), 7, t)), RF_TOKEN_NULL);
        assert!(get(|f| rf_vocab_is_eog(v, EOS, f)) && !get(|f| rf_vocab_is_eog(v, 5, f)));
        assert!(get(|f| rf_vocab_is_control(v, BOS, f)) && !get(|f| rf_vocab_is_control(v, 5, f)));
        assert!(get(|f| rf_vocab_get_add_bos(v, f)) && !get(|f| rf_vocab_get_add_eos(v, f)));
        assert_eq!(get(|a| rf_vocab_get_attr(v, BOS, a)), rf_token_attr::Control as u32);
        for token in [-1, N_VOCAB as i32, i32::MAX, i32::MIN] {
            let bad = |status| fails(status, rf_status::InvalidArgument, &token.to_string());
            bad(rf_vocab_get_text(v, token, null_mut(), 0, &mut 0));
            bad(rf_vocab_get_score(v, token, &mut 0.0));
            bad(rf_vocab_get_attr(v, token, &mut 0));
            bad(rf_vocab_is_eog(v, token, &mut false));
            bad(rf_vocab_is_control(v, token, &mut false));
            bad(rf_token_to_piece(v, token, true.into(), null_mut(), 0, &mut 0));
            bad(rf_detokenize(v, &token, 1, false.into(), false.into(), null_mut(), 0, &mut 0));
        }
        rf_model_free(model);
    }
}

#[test]
fn streams_are_whole_characters() {
    let model = load();
    let v = vocab(model);
    let tokens = tokenize(v, "é🦀".as_bytes(), false);
    unsafe {
        let mut d = null_mut();
        ok(rf_detokenizer_new(v, false.into(), &mut d));
        // A detokenizer outlives its model.
        rf_model_free(model);
        let push = |token| {
            let mut len = 0;
            ok(rf_detokenizer_push(d, token, null_mut(), 0, &mut len));
            let text = string(|b, n, l| rf_detokenizer_text(d, b, n, l));
            assert_eq!(text.len(), len);
            text
        };
        let pieces: Vec<String> = tokens.iter().map(|&t| push(t)).collect();
        assert_eq!(pieces, ["", "é", "", "", "", "🦀"]);
        fails(
            rf_detokenizer_push(d, N_VOCAB as i32, null_mut(), 0, &mut 0),
            rf_status::InvalidArgument,
            "out of range",
        );
        // A buffer that is too small: the token counts, its text can be had again.
        let mut small = [0; 2];
        push(tokens[0]);
        fails(
            rf_detokenizer_push(d, tokens[1], small.as_mut_ptr(), 2, null_mut()),
            rf_status::BufferTooSmall,
            "3 are needed",
        );
        assert_eq!(string(|b, n, l| rf_detokenizer_text(d, b, n, l)), "é");
        push(tokens[0]);
        ok(rf_detokenizer_finish(d, null_mut(), 0, &mut 0));
        assert_eq!(string(|b, n, l| rf_detokenizer_text(d, b, n, l)), "\u{fffd}");
        rf_detokenizer_free(d);
    }
}

#[test]
fn chat_templates() {
    let model = load();
    let messages = [(c"user", c"Hi"), (c"assistant", c"Ho")]
        .map(|(role, content)| rf_chat_message { role: role.as_ptr(), content: content.as_ptr() });
    let apply = |tmpl: *const c_char, extra: *const c_char, b, n, l| unsafe {
        rf_chat_apply_template(model, tmpl, messages.as_ptr(), 2, true.into(), extra, b, n, l)
    };
    assert_eq!(string(|b, n, l| apply(null(), null(), b, n, l)), "<user>Hi<assistant>Ho<assistant>");
    let own = c"{{ bos_token }}{{ messages | length }}{{ more }}{{ eos_token }}".as_ptr();
    let extra = c"{\"more\": \"!\"}".as_ptr();
    assert_eq!(string(|b, n, l| apply(own, extra, b, n, l)), "<bos>2!<eos>");
    assert!(string(|b, n, l| unsafe { rf_model_chat_template(model, null(), b, n, l) }).contains("for m in"));
    let mut len = 0;
    fails(
        unsafe { rf_model_chat_template(model, c"rag".as_ptr(), null_mut(), 0, &mut len) },
        rf_status::NotFound,
        "tokenizer.chat_template.rag",
    );
    assert_ne!(apply(c"{% for %}".as_ptr(), null(), null_mut(), 0, &mut len), OK);
    assert!(last_error().starts_with("rf_chat_apply_template: "), "{}", last_error());
    let raise = c"{{ raise_exception('no assistants here') }}".as_ptr();
    assert_ne!(apply(raise, null(), null_mut(), 0, &mut len), OK);
    assert!(last_error().contains("no assistants here"), "{}", last_error());
    fails(apply(own, c"[1]".as_ptr(), null_mut(), 0, &mut len), rf_status::InvalidArgument, "extra_json");
    unsafe { rf_model_free(model) };
}
