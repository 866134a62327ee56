//! Samplers in a row.

use super::row::Scratch;
use super::{Candidate, Candidates, Sampler, Token};
use crate::{Error, Result};

/// Samplers that run one after the other, the last of which selects a token.
///
/// ```
/// use rocmforge::sampler::{Chain, Dist, Temperature, TopK};
///
/// let mut chain = Chain::new();
/// chain.push(TopK::new(40));
/// chain.push(Temperature::new(0.8)?);
/// chain.push(Dist::new(42));
/// let token = chain.sample(&[0.1, 2.0, -1.0])?;
/// assert!((0..3).contains(&token));
/// # Ok::<(), rocmforge::Error>(())
/// ```
#[derive(Default)]
pub struct Chain {
    samplers: Vec<Box<dyn Sampler>>,
    items: Vec<Candidate>,
    scratch: Scratch,
}

impl Chain {
    /// A chain with no samplers, which selects nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a sampler.
    pub fn push(&mut self, sampler: impl Sampler + 'static) {
        self.push_box(Box::new(sampler));
    }

    /// Appends a boxed sampler.
    pub fn push_box(&mut self, sampler: Box<dyn Sampler>) {
        self.samplers.push(sampler);
    }

    /// Puts a sampler before the one at `index`; an error if `index` is past the end.
    pub fn insert(&mut self, index: usize, sampler: Box<dyn Sampler>) -> Result<()> {
        if index > self.samplers.len() {
            return Err(self.no_such(index));
        }
        self.samplers.insert(index, sampler);
        Ok(())
    }

    /// Takes out the sampler at `index`; an error if there is none.
    pub fn remove(&mut self, index: usize) -> Result<Box<dyn Sampler>> {
        if index >= self.samplers.len() {
            return Err(self.no_such(index));
        }
        Ok(self.samplers.remove(index))
    }

    /// The sampler at `index`.
    pub fn get(&self, index: usize) -> Option<&dyn Sampler> {
        self.samplers.get(index).map(|s| &**s)
    }

    /// How many samplers the chain has.
    pub fn len(&self) -> usize {
        self.samplers.len()
    }

    /// Whether the chain has no samplers.
    pub fn is_empty(&self) -> bool {
        self.samplers.is_empty()
    }

    /// The samplers' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.samplers.iter().map(|s| s.name())
    }

    /// The seed in use by the last sampler that draws random numbers.
    pub fn seed(&self) -> Option<u32> {
        self.samplers.iter().rev().find_map(|s| s.seed())
    }

    /// Selects a token from `logits [n_vocab]` and accepts it.
    ///
    /// An error if a logit is NaN, if no token is possible, if a sampler fails, or if no sampler
    /// selects; then nothing is accepted. Allocates only when `n_vocab` grows.
    pub fn sample(&mut self, logits: &[f32]) -> Result<Token> {
        if logits.is_empty() || logits.len() > Token::MAX as usize {
            return Err(Error::InvalidArgument(format!("cannot sample from {} logits", logits.len())));
        }
        let mut candidates = Candidates::from_row(logits, &mut self.items, &mut self.scratch);
        let token = run(&mut self.samplers, &mut candidates)?.ok_or_else(|| {
            Error::InvalidArgument(
                "the sampler chain selects no token: end it with a selecting sampler (dist or greedy)".into(),
            )
        })?;
        self.accept(token);
        Ok(token)
    }

    /// Runs the samplers on `candidates`; the token selected, if a sampler selects. Accepts nothing.
    pub fn apply(&mut self, candidates: &mut Candidates<'_>) -> Result<Option<Token>> {
        candidates.check();
        run(&mut self.samplers, candidates)
    }

    /// Tells every sampler that `token` is now part of the text.
    pub fn accept(&mut self, token: Token) {
        self.samplers.iter_mut().for_each(|s| s.accept(token));
    }

    /// Resets every sampler.
    pub fn reset(&mut self) {
        self.samplers.iter_mut().for_each(|s| s.reset());
    }

    fn no_such(&self, index: usize) -> Error {
        Error::InvalidArgument(format!(
            "no position {index} in a sampler chain of {} samplers",
            self.samplers.len()
        ))
    }
}

fn run(samplers: &mut [Box<dyn Sampler>], candidates: &mut Candidates<'_>) -> Result<Option<Token>> {
    for sampler in samplers {
        if candidates.failed() {
            break;
        }
        sampler.apply(candidates);
    }
    candidates.take_result()?;
    Ok(candidates.token())
}

impl Clone for Chain {
    fn clone(&self) -> Self {
        Chain { samplers: self.samplers.iter().map(|s| s.clone_box()).collect(), ..Self::default() }
    }
}

/// A chain can be a part of another.
impl Sampler for Chain {
    fn name(&self) -> &'static str {
        "chain"
    }

    fn apply(&mut self, candidates: &mut Candidates<'_>) {
        if let Err(e) = Chain::apply(self, candidates) {
            candidates.fail(e);
        }
    }

    fn accept(&mut self, token: Token) {
        Chain::accept(self, token);
    }

    fn reset(&mut self) {
        Chain::reset(self);
    }

    fn seed(&self) -> Option<u32> {
        Chain::seed(self)
    }

    fn clone_box(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}
