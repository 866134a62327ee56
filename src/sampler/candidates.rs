//! The candidate list that samplers work on.

use super::Token;
use super::rng::Rng;
use super::row::{Row, Scratch};
use super::scan::{self, BLOCK, key, unkey};
use crate::{Error, Result};
use std::cmp::Ordering;

/// One token that may come next.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Candidate {
    /// The token.
    pub id: Token,
    /// Its logit, as the samplers so far have left it.
    pub logit: f32,
    /// Its probability, where the last sampler computed it; see [`Candidates::softmax`].
    pub p: f32,
}

/// The tokens that may come next.
///
/// A list is either a row of logits with few changes, or explicit items. It starts as the row, because
/// writing 150,000 items for each token would take longer than all of the sampling: penalties and
/// biases are kept beside the row as sparse edits, one temperature as a pending divisor, and a
/// selection reads the row and writes only what survives. Whoever asks for [`Candidates::items`] gets
/// the whole list; results are the same either way.
pub struct Candidates<'a> {
    items: &'a mut Vec<Candidate>,
    row: Option<Row<'a>>,
    sorted: bool,
    selected: Option<usize>,
    fault: Option<Error>,
}

/// The order of a sorted list: largest logit first, then lowest id.
fn descending(a: &Candidate, b: &Candidate) -> Ordering {
    key(b.logit).cmp(&key(a.logit)).then(a.id.cmp(&b.id))
}

/// `exp(logit - max)`; of infinite ones, 1 for each of the largest.
fn weight(logit: f32, max: f32) -> f32 {
    if logit == max { 1.0 } else { (logit - max).exp() }
}

fn nan() -> Error {
    Error::InvalidArgument("a logit is NaN: the model's output is broken".into())
}

impl<'a> Candidates<'a> {
    /// Explicit candidates, in any order.
    pub fn new(items: &'a mut Vec<Candidate>) -> Self {
        Candidates { items, row: None, sorted: false, selected: None, fault: None }
    }

    /// The candidates of a row of logits; `items` and `scratch` are buffers.
    pub(super) fn from_row(
        logits: &'a [f32],
        items: &'a mut Vec<Candidate>,
        scratch: &'a mut Scratch,
    ) -> Self {
        items.clear();
        // Address space only: pages are touched when survivors are written. Reserved at once because the
        // number of survivors changes from token to token.
        items.reserve(logits.len());
        // Likewise which of these a token needs.
        let n_blocks = logits.len().div_ceil(BLOCK);
        scratch.top.clear();
        scratch.top.reserve(logits.len());
        scratch.sums.clear();
        scratch.sums.reserve(n_blocks);
        scratch.edits.clear();
        let row = Row { logits, divisor: 1.0, scratch, room: 0, scanned: false };
        Candidates { items, row: Some(row), sorted: false, selected: None, fault: None }
    }

    /// How many candidates are left.
    pub fn len(&self) -> usize {
        self.row.as_ref().map_or(self.items.len(), |row| row.logits.len())
    }

    /// Whether no candidate is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every candidate, to read and change. Who changes a logit calls [`Candidates::set_sorted`].
    pub fn items(&mut self) -> &mut Vec<Candidate> {
        if let Some(row) = self.row.take() {
            let n = row.logits.len() as Token;
            self.items.clear();
            self.items.extend((0..n).zip(row.logits).map(|(id, &logit)| Candidate { id, logit, p: 0.0 }));
            for &(id, logit) in &row.scratch.edits {
                self.items[id as usize].logit = logit;
            }
            if row.divisor != 1.0 {
                self.items.iter_mut().for_each(|c| c.logit /= row.divisor);
            }
            self.sorted = false;
            self.check();
        }
        self.items
    }

    /// Whether the items are known to be in descending order of their logits.
    pub fn sorted(&self) -> bool {
        self.sorted
    }

    /// Says whether the items are in descending order of their logits.
    pub fn set_sorted(&mut self, sorted: bool) {
        self.sorted = sorted;
    }

    /// The position in [`Candidates::items`] of the selected candidate.
    pub fn selected(&self) -> Option<usize> {
        self.selected.filter(|&i| i < self.len())
    }

    /// Selects the candidate at position `index` of [`Candidates::items`].
    pub fn select(&mut self, index: Option<usize>) {
        self.selected = index;
    }

    /// The selected token.
    pub fn token(&self) -> Option<Token> {
        let i = self.selected()?;
        if self.row.is_some() { Some(i as Token) } else { self.items.get(i).map(|c| c.id) }
    }

    /// Ends the chain's work on these candidates with an error. The first one stays.
    pub fn fail(&mut self, error: Error) {
        self.fault.get_or_insert(error);
    }

    /// Whether a sampler has failed.
    pub fn failed(&self) -> bool {
        self.fault.is_some()
    }

    /// The error of the sampler that failed, if one did.
    pub fn take_result(&mut self) -> Result<()> {
        self.fault.take().map_or(Ok(()), Err)
    }

    /// Sorts the items: largest logit first, then lowest id.
    pub fn sort(&mut self) {
        self.items();
        if !self.sorted {
            self.items.sort_unstable_by(descending);
            self.sorted = true;
        }
    }

    /// Draws the position of an item by the probabilities that a softmax has left; the only one without a draw.
    pub(super) fn draw(&self, rng: &mut Rng) -> Option<usize> {
        if self.items.len() <= 1 {
            return (!self.items.is_empty()).then_some(0);
        }
        let total: f64 = self.items.iter().map(|c| f64::from(c.p)).sum();
        let (target, mut run) = (rng.next_f64(), 0.0);
        let reaches = |c: &Candidate| {
            run += f64::from(c.p) / total;
            run >= target
        };
        self.items.iter().position(reaches).or_else(|| self.items.iter().rposition(|c| c.p > 0.0))
    }

    /// Fills in the probability of every candidate: the softmax of the logits.
    pub fn softmax(&mut self) {
        self.items();
        if let Some((_, total)) = self.weigh() {
            self.normalise(total);
        }
    }

    /// The same as llama.cpp's samplers have it, in f32 and summed one after the other, for those that compare and draw by
    /// it. Gives the largest logit and the sum of all weights `exp(logit - max)`.
    pub(super) fn softmax_32(&mut self) -> Option<(f32, f32)> {
        self.items();
        let max = self.possible_max()?;
        self.items.iter_mut().for_each(|c| c.p = weight(c.logit, max));
        let total: f32 = self.items.iter().map(|c| c.p).sum();
        self.items.iter_mut().for_each(|c| c.p /= total);
        Some((max, total))
    }

    /// After [`Candidates::weigh`]: makes the weights of explicit items probabilities.
    pub(super) fn normalise(&mut self, total: f64) {
        if self.row.is_none() {
            self.items.iter_mut().for_each(|c| c.p = (f64::from(c.p) / total) as f32);
        }
    }

    /// Fails if an explicit logit is NaN.
    pub(super) fn check(&mut self) {
        if self.row.is_none() && self.items.iter().any(|c| c.logit.is_nan()) {
            self.fail(nan());
        }
    }

    /// Replaces the logits of the tokens in `table` (ascending ids, each once) by what `f` makes of them.
    /// `at_most` is the longest that the table may ever be.
    pub(super) fn edit<T>(
        &mut self,
        table: &[T],
        at_most: usize,
        id: impl Fn(&T) -> Token,
        f: impl Fn(&T, f32) -> f32,
    ) {
        if self.row.as_ref().is_some_and(|row| row.divisor != 1.0) {
            self.items();
        }
        let mut broken = false;
        let mut changed = |entry: &T, logit: f32| {
            let new = f(entry, logit);
            broken |= new.is_nan();
            new
        };
        if let Some(row) = &mut self.row {
            row.scanned = false;
            let edits = &mut row.scratch.edits;
            let n_old = edits.len();
            row.room += at_most;
            edits.reserve(row.room - n_old.min(row.room));
            for entry in table {
                let id = id(entry);
                let Some(&logit) = usize::try_from(id).ok().and_then(|i| row.logits.get(i)) else { continue };
                match edits[..n_old].binary_search_by_key(&id, |e| e.0) {
                    Ok(i) => edits[i].1 = changed(entry, edits[i].1),
                    Err(_) => edits.push((id, changed(entry, logit))),
                }
            }
            if n_old > 0 {
                edits.sort_unstable_by_key(|e| e.0);
            }
        } else {
            // Most tokens are at the position of their id, unless something has moved them.
            let mut moved = false;
            for entry in table {
                let id = id(entry);
                match usize::try_from(id).ok().and_then(|i| self.items.get_mut(i)) {
                    Some(c) if c.id == id => c.logit = changed(entry, c.logit),
                    _ => moved = true,
                }
            }
            if moved {
                for (i, c) in self.items.iter_mut().enumerate() {
                    if c.id as usize != i
                        && let Ok(at) = table.binary_search_by_key(&c.id, &id)
                    {
                        c.logit = changed(&table[at], c.logit);
                    }
                }
            }
            self.sorted &= table.is_empty();
        }
        if broken {
            self.fail(nan());
        }
    }

    /// Divides every logit by `divisor > 0`.
    pub(super) fn divide(&mut self, divisor: f32) {
        match &mut self.row {
            Some(row) if row.divisor == 1.0 => row.divisor = divisor,
            _ => self.items().iter_mut().for_each(|c| c.logit /= divisor),
        }
    }

    /// The largest logit; `None` when there is no candidate or a logit is NaN.
    pub(super) fn max(&mut self) -> Option<f32> {
        if self.is_empty() {
            return None;
        }
        if self.row.is_some() {
            let row = self.scan()?;
            return row.scratch.maxima.iter().copied().reduce(f32::max).map(|max| max / row.divisor);
        }
        self.check();
        if self.failed() {
            return None;
        }
        if self.sorted {
            return self.items.first().map(|c| c.logit);
        }
        self.items.iter().map(|c| c.logit).reduce(f32::max)
    }

    /// The largest logit of a candidate that can be selected; `None`, with a failure, if there is none.
    pub(super) fn possible_max(&mut self) -> Option<f32> {
        let max = self.max().filter(|&max| max > f32::NEG_INFINITY);
        if max.is_none() {
            let what =
                if self.is_empty() { "no candidate is left" } else { "every candidate's logit is -inf" };
            self.fail(Error::InvalidArgument(format!("{what}: no token is possible")));
        }
        max
    }

    /// The position of the largest logit, of equal ones that of the lowest id.
    pub(super) fn argmax(&mut self) -> Option<usize> {
        let max = self.max()?;
        let Some(row) = &self.row else {
            let best = self.items.iter().enumerate().min_by(|a, b| descending(a.1, b.1));
            return best.map(|(i, _)| i);
        };
        let mut buf = [0.0; BLOCK];
        let block = row.scratch.maxima.iter().position(|&m| m / row.divisor == max)?;
        let at = row.block(block, &mut buf).iter().position(|&x| x == max)?;
        Some(block * BLOCK + at)
    }

    /// Keeps the `k` largest, in order.
    pub(super) fn keep_top(&mut self, k: usize) {
        if k >= self.len() {
            return self.sort();
        }
        if self.row.is_some() && !self.collect_top(k) {
            if self.failed() {
                return;
            }
            self.items();
        }
        self.row = None;
        if !self.sorted {
            let n = k.min(self.items.len());
            scan::sort_part(self.items, 0, n, descending);
            self.sorted = true;
        }
        self.items.truncate(k);
    }

    /// Keeps the candidates of at least `min_logit`, or the `at_least` largest if those are more.
    pub(super) fn keep_from(&mut self, min_logit: f32, at_least: usize) {
        if self.row.is_some() {
            if self.scan().is_none() {
                return;
            }
            self.collect(min_logit);
            if self.items.len() >= at_least {
                self.row = None;
            } else {
                self.keep_top(at_least);
            }
        } else if self.sorted {
            let n = self.items.partition_point(|c| c.logit >= min_logit);
            self.items.truncate(n.max(at_least));
        } else if self.items.iter().filter(|c| c.logit >= min_logit).count() >= at_least {
            self.items.retain(|c| c.logit >= min_logit);
        } else {
            self.keep_top(at_least);
        }
    }

    /// Keeps, in descending order, the fewest whose softmax probabilities sum to `p`, but `at_least`.
    pub(super) fn keep_mass(&mut self, p: f32, at_least: usize) {
        let Some((max, total)) = self.weigh() else { return };
        // Rarely does a nucleus hold more than this; then the sorted part grows.
        let mut n = at_least.max(256);
        if self.row.is_some() {
            if n < self.len()
                && self.collect_top(n)
                && let Some(keep) = mass_prefix(&mut self.items[..n], max, total, p, at_least)
            {
                self.items.truncate(keep);
                self.row = None;
                return;
            }
            self.items();
        }
        let (mut from, len) = (0, self.items.len());
        if self.sorted {
            n = len;
        }
        loop {
            n = n.min(len);
            if !self.sorted {
                scan::sort_part(self.items, from, n, descending);
            }
            if let Some(keep) = mass_prefix(&mut self.items[..n], max, total, p, at_least) {
                self.items.truncate(keep);
                break;
            }
            if n == len {
                break;
            }
            (from, n) = (n, n.saturating_mul(4));
        }
        self.sorted = true;
    }

    /// Keeps, nearest first, the fewest whose probabilities sum to more than `p`, but `at_least`, by the
    /// distance between their information content and the entropy.
    ///
    /// With d = logit - max and Z the sum of the weights, -ln p_i is ln Z - d_i and the entropy
    /// H = ln Z - E[d], so the distance |-ln p_i - H| is |E[d] - d_i|. A weight of 0 adds nothing to the
    /// mean: the limit of p ln p.
    pub(super) fn keep_typical(&mut self, p: f32, at_least: usize) {
        self.sort();
        let Some((_, total_32)) = self.softmax_32() else { return };
        let Some((max, total)) = self.weigh() else { return };
        let below_max =
            |c: &Candidate| if c.logit == max { 0.0 } else { f64::from(c.logit) - f64::from(max) };
        let weighted = self.items.iter().filter(|c| c.p > 0.0).map(|c| f64::from(c.p) * below_max(c));
        let mean = weighted.sum::<f64>() / total;
        // While the nearest are being found, `p` holds the distance.
        self.items.iter_mut().for_each(|c| c.p = (mean - below_max(c)).abs() as f32);
        let nearest = |a: &Candidate, b: &Candidate| key(a.p).cmp(&key(b.p)).then(a.id.cmp(&b.id));
        let (target, len) = (f64::from(p) * total, self.items.len());
        let (mut run, mut sorted) = (0.0, 0);
        let mut keep = len;
        for i in 0..len {
            if i == sorted {
                sorted = len.min((4 * sorted).max(256));
                scan::sort_part(self.items, i, sorted, nearest);
            }
            let c = &mut self.items[i];
            c.p = weight(c.logit, max) / total_32;
            run += f64::from(scan::weight(c.logit, max));
            if run > target && i + 1 >= at_least {
                keep = i + 1;
                break;
            }
        }
        self.items.truncate(keep);
        self.sorted = false;
    }

    /// The largest logit and the sum of all softmax weights `exp(logit - max)`; `None` when there are no
    /// candidates, or with a failure when no probability exists.
    ///
    /// The weights are left in `p` of the items, or as sums of blocks beside the row.
    pub(super) fn weigh(&mut self) -> Option<(f32, f64)> {
        let max = self.possible_max()?;
        let mut total = 0.0;
        let mut buf = [0.0; BLOCK];
        if let Some(row) = &mut self.row {
            let n_blocks = row.logits.len().div_ceil(BLOCK);
            let mut sums = std::mem::take(&mut row.scratch.sums);
            sums.clear();
            sums.extend((0..n_blocks).map(|b| scan::weigh(row.block(b, &mut buf), max)));
            total = sums.iter().sum();
            row.scratch.sums = sums;
        } else {
            for block in self.items.chunks_mut(BLOCK) {
                let buf = &mut buf[..block.len()];
                buf.iter_mut().zip(&*block).for_each(|(x, c)| *x = c.logit);
                total += scan::weigh(buf, max);
                block.iter_mut().zip(&*buf).for_each(|(c, &w)| c.p = w);
            }
        }
        if total.is_nan() {
            self.fail(nan());
            return None;
        }
        Some((max, total))
    }

    /// After [`Candidates::weigh`]: the position of the first candidate at which the running sum of the
    /// weights passes `target`, else of one that has weight.
    pub(super) fn position_of_mass(&self, max: f32, target: f64) -> Option<usize> {
        let mut buf = [0.0; BLOCK];
        let (mut run, mut block) = (0.0, None);
        for b in 0..self.len().div_ceil(BLOCK) {
            let sum = match &self.row {
                Some(row) => row.scratch.sums[b],
                None => scan::sum(self.weights(b, max, &mut buf)),
            };
            if sum > 0.0 {
                block = Some(b);
                if run + sum > target {
                    break;
                }
                run += sum;
            }
        }
        let block = block?;
        let mut at = None;
        for (i, &w) in self.weights(block, max, &mut buf).iter().enumerate() {
            if w > 0.0 {
                at = Some(block * BLOCK + i);
                run += f64::from(w);
                if run > target {
                    break;
                }
            }
        }
        at
    }

    /// The softmax weights of block `b`, after [`Candidates::weigh`].
    fn weights<'b>(&self, b: usize, max: f32, buf: &'b mut [f32; BLOCK]) -> &'b [f32] {
        if let Some(row) = &self.row {
            let block = row.block(b, buf);
            scan::weigh(block, max);
            return block;
        }
        let items = &self.items[b * BLOCK..self.items.len().min((b + 1) * BLOCK)];
        let block = &mut buf[..items.len()];
        block.iter_mut().zip(items).for_each(|(w, c)| *w = c.p);
        block
    }

    /// Finds the maxima of the row's blocks; `None` (and a failure) if a logit is NaN.
    fn scan(&mut self) -> Option<&mut Row<'a>> {
        let row = self.row.as_mut()?;
        if !row.scanned && !row.find_maxima() {
            self.fail(nan());
            return None;
        }
        self.row.as_mut()
    }

    /// Writes the row's candidates of at least `min_logit` to the items, by ascending id.
    fn collect(&mut self, min_logit: f32) {
        self.items.clear();
        let Some(row) = &self.row else { return };
        row.survivors(min_logit, |id, logit| self.items.push(Candidate { id, logit, p: 0.0 }));
        self.sorted = false;
    }

    /// Writes the `k` largest of the row's candidates to the items, in order; false if the row has too
    /// few blocks to find them by, or a NaN.
    ///
    /// A bound that at least k of the blocks' maxima reach is reached by at least k logits, and few
    /// others. Survivors are sorted as integers: descending logit, then ascending id.
    fn collect_top(&mut self, k: usize) -> bool {
        let Some(row) = self.scan() else { return false };
        if k == 0 || k > row.scratch.maxima.len() {
            return false;
        }
        let bound = scan::bound_of(&row.scratch.maxima, k) / row.divisor;
        let mut top = std::mem::take(&mut row.scratch.top);
        top.clear();
        row.survivors(bound, |id, logit| {
            // Flipping the sign bit makes the signed key an unsigned one.
            let order = !(key(logit) as u32 ^ 1 << 31);
            top.push(u64::from(order) << 32 | u64::from(id as u32));
        });
        if k < top.len() {
            top.select_nth_unstable(k - 1);
            top.truncate(k);
        }
        top.sort_unstable();
        self.items.clear();
        self.items.extend(top.iter().map(|&packed| {
            let order = !((packed >> 32) as u32);
            Candidate { id: packed as u32 as Token, logit: unkey((order ^ 1 << 31) as i32), p: 0.0 }
        }));
        if let Some(row) = &mut self.row {
            row.scratch.top = top;
        }
        self.sorted = true;
        true
    }
}

/// How many of the sorted `items`, at least `at_least`, reach the share `p` of the weight `total`;
/// `None` if all of them do not. Their probabilities are filled in.
fn mass_prefix(items: &mut [Candidate], max: f32, total: f64, p: f32, at_least: usize) -> Option<usize> {
    let target = f64::from(p) * total;
    let mut run = 0.0;
    for (i, c) in items.iter_mut().enumerate() {
        let w = f64::from(scan::weight(c.logit, max));
        c.p = (w / total) as f32;
        run += w;
        if run >= target && i + 1 >= at_least {
            return Some(i + 1);
        }
    }
    None
}
