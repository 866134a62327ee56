//! `--prompt-cache`: what was computed of a prompt, kept in a file for the next run.

use std::path::Path;

use rocmforge::{Context, Token};

use crate::args::SessionArgs;
use crate::failure::{Failure, Outcome};

/// The file of a session, and what was in it.
pub struct Session<'a> {
    args: &'a SessionArgs,
    /// The tokens that are in the context.
    pub tokens: Vec<Token>,
}

impl<'a> Session<'a> {
    /// Restores the session from its file, if one is named and there is one, to an empty context.
    pub fn open(args: &'a SessionArgs, context: &mut Context) -> Outcome<Session<'a>> {
        let mut session = Session { args, tokens: Vec::new() };
        let Some(path) = &args.prompt_cache else { return Ok(session) };
        // An empty file is a place for a session, as `mktemp` makes one.
        if std::fs::metadata(path).map_or(true, |m| m.is_file() && m.len() == 0) {
            return Ok(session);
        }
        session.tokens = context.state_load_file(path, |_| Ok(()))?;
        let last = session.tokens.len() as i32 - 1;
        if context.cells().seq_range(0)? != Some((0, last))
            || context.cells().n_used() != session.tokens.len()
        {
            return Err(Failure::Failed(format!(
                "{}: its {} tokens are not those of its state; it was not saved by this program",
                path.display(),
                session.tokens.len()
            )));
        }
        Ok(session)
    }

    /// Leaves in the context what the session and `prompt` have in common, but not all of `prompt`: its
    /// last token is computed for its logits. Gives how many tokens are left.
    pub fn reuse(&self, prompt: &[Token], context: &mut Context) -> Outcome<usize> {
        let common = self.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        let n = common.min(prompt.len().saturating_sub(1));
        context.seq_rm(0, n as i32..i32::MAX)?;
        Ok(n)
    }

    /// The file to save to once `prompt` is computed; none if it has all of it already.
    pub fn after_prompt(&self, prompt: &[Token]) -> Option<&'a Path> {
        self.path().filter(|_| !self.tokens.starts_with(prompt))
    }

    /// The file to save to at the end, if it is to hold what was generated.
    pub fn at_end(&self) -> Option<&'a Path> {
        self.path().filter(|_| self.args.prompt_cache_all)
    }

    fn path(&self) -> Option<&'a Path> {
        self.args.prompt_cache.as_deref().filter(|_| !self.args.prompt_cache_ro)
    }
}
