//! From tokens back to text.

use super::{Token, Vocab, VocabKind};
use crate::{Error, Result};

impl Vocab {
    /// What `token` prints as, in bytes; a token may hold part of a character. Control and unknown
    /// tokens print as nothing unless `special`. An error if the token is out of range or the model
    /// has no vocabulary.
    pub fn token_to_piece(&self, token: Token, special: bool) -> Result<&[u8]> {
        self.need_vocab()?;
        let id = self.tokens.check(token)?;
        let hidden = !special && self.tokens.attr(id).any(super::HIDDEN);
        Ok(if hidden { &[] } else { self.tokens.piece(id) })
    }

    /// The text of `tokens` in bytes, which need not be valid UTF-8.
    ///
    /// The space that tokenizing put in front is taken away again. With `remove_special`, so are BOS
    /// at the start and EOS at the end, where tokenizing adds them. Control and unknown tokens are
    /// written out only if `unparse_special`. Some pre-tokenizers come with a clean-up of spaces
    /// before punctuation; it is applied where the reference applies it.
    pub fn detokenize(
        &self,
        tokens: &[Token],
        remove_special: bool,
        unparse_special: bool,
    ) -> Result<Vec<u8>> {
        self.need_vocab()?;
        let mut tokens = tokens;
        let mut strip_space = self.add_space_prefix;
        if remove_special
            && self.add_bos
            && let Some((&first, rest)) = tokens.split_first()
            && Some(first) == self.specials.bos
        {
            strip_space = false;
            tokens = rest;
        }
        if remove_special
            && self.add_eos
            && let Some((&last, rest)) = tokens.split_last()
            && Some(last) == self.specials.eos
        {
            tokens = rest;
        }
        let mut text = Vec::with_capacity(tokens.len() * 4);
        for &token in tokens {
            let piece = self.token_to_piece(token, unparse_special)?;
            let piece = if strip_space { piece.strip_prefix(b" ").unwrap_or(piece) } else { piece };
            strip_space = false;
            text.extend_from_slice(piece);
        }
        if self.clean_spaces {
            clean_spaces(&mut text);
        }
        Ok(text)
    }

    fn need_vocab(&self) -> Result<()> {
        match self.kind() {
            VocabKind::None => {
                Err(Error::Unsupported("the model has no vocabulary: it takes token ids only".into()))
            }
            _ => Ok(()),
        }
    }
}

/// The clean-up that the reference calls `clean_up_tokenization_spaces`, in its three passes: a
/// space before `?!.,` goes; then the spaces around a lone apostrophe; then the space before `'s`,
/// `'m`, `'re` and `'ve`.
fn clean_spaces(text: &mut Vec<u8>) {
    pass(text, |before, rest| match before == b' ' && b"?!.,".contains(&rest[0]) {
        true => Edit { drop_before: true, ..Edit::KEEP },
        false => Edit::KEEP,
    });
    pass(text, |before, rest| match before == b' ' && rest.starts_with(b"' ") {
        true => Edit { drop_before: true, drop_after: true },
        false => Edit::KEEP,
    });
    pass(text, |before, rest| {
        let joined = [&b"'s"[..], b"'m", b"'re", b"'ve"].iter().any(|c| rest.starts_with(c));
        Edit { drop_before: before == b' ' && joined, ..Edit::KEEP }
    });
}

struct Edit {
    /// Drop the byte before this one.
    drop_before: bool,
    /// Drop the byte after this one; it then counts as no space for its successor.
    drop_after: bool,
}

impl Edit {
    const KEEP: Edit = Edit { drop_before: false, drop_after: false };
}

/// Goes over `text` from its second byte on. `edit` sees the byte before and the rest.
fn pass(text: &mut Vec<u8>, edit: impl Fn(u8, &[u8]) -> Edit) {
    if text.is_empty() {
        return;
    }
    let (mut len, mut i) = (1, 1);
    let mut before = text[0];
    while i < text.len() {
        let e = edit(before, &text[i..]);
        let byte = text[i];
        before = byte;
        if e.drop_before {
            len -= 1;
        }
        if e.drop_after {
            i += 1;
            before = 0;
        }
        text[len] = byte;
        len += 1;
        i += 1;
    }
    text.truncate(len);
}

/// Turns a stream of tokens into a stream of whole characters.
///
/// Bytes that cannot begin or continue a character become U+FFFD, as in
/// [`String::from_utf8_lossy`]. The space that a SentencePiece vocabulary writes in front of a
/// word is kept: whether it belongs to the text depends on what came before the stream. After the
/// first tokens nothing is allocated.
#[derive(Debug, Default)]
pub struct Detokenizer {
    special: bool,
    /// The beginning of a character whose end has not come yet, then the piece at hand.
    pending: Vec<u8>,
    out: String,
}

impl Detokenizer {
    /// A stream that writes control and unknown tokens out if `special`.
    pub fn new(special: bool) -> Detokenizer {
        Detokenizer { special, ..Default::default() }
    }

    /// The characters that `token` completes, maybe none. An error if the token is out of range.
    pub fn push(&mut self, vocab: &Vocab, token: Token) -> Result<&str> {
        self.pending.extend_from_slice(vocab.token_to_piece(token, self.special)?);
        self.take(false);
        Ok(&self.out)
    }

    /// What is left at the end of the stream: U+FFFD for a character that was begun and not ended.
    /// The detokenizer is then as new.
    pub fn finish(&mut self) -> &str {
        self.take(true);
        &self.out
    }

    /// Moves what is complete from `pending` to `out`.
    fn take(&mut self, all: bool) {
        self.out.clear();
        let mut done = 0;
        for chunk in self.pending.utf8_chunks() {
            self.out.push_str(chunk.valid());
            done += chunk.valid().len();
            let bad = chunk.invalid();
            // At the very end, a beginning that more bytes could complete waits for them.
            let waits = !all
                && done + bad.len() == self.pending.len()
                && std::str::from_utf8(bad).is_err_and(|e| e.error_len().is_none());
            if bad.is_empty() || waits {
                break;
            }
            self.out.push(char::REPLACEMENT_CHARACTER);
            done += bad.len();
        }
        self.pending.drain(..done);
    }
}

#[cfg(test)]
mod tests {
    use super::clean_spaces;

    #[test]
    fn spaces_are_cleaned_in_three_passes() {
        for (text, want) in [
            ("Hello , world !", "Hello, world!"),
            (" .", "."),
            ("a  . b", "a . b"),
            ("it 's we 've I 'm you 're", "it's we've I'm you're"),
            ("can 't he 'd we 'll", "can 't he 'd we 'll"),
            ("a ' b", "a'b"),
            ("a ' ' b", "a'' b"),
            ("x '", "x '"),
            ("", ""),
        ] {
            let mut bytes = text.as_bytes().to_vec();
            clean_spaces(&mut bytes);
            assert_eq!(String::from_utf8(bytes).unwrap(), want, "{text:?}");
        }
    }
}
