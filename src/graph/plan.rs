//! Where each tensor of a graph lives in one arena, and in which order the graph runs.
//!
//! Nodes that do not depend on one another form a *wave* and may run at the same time. A tensor
//! is alive from the wave that makes it to the last one that reads it; tensors that are never
//! alive together share memory.

use super::{Graph, Op, TensorId};

/// Every tensor starts at a multiple of this: a cache line, and the widest vector.
pub const ALIGN: usize = 64;

/// The layout and schedule of a graph.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Offset in the arena of each node that owns memory there; `None` for leaves, views and
    /// cache writes.
    pub offsets: Vec<Option<usize>>,
    /// Bytes of the arena.
    pub arena_bytes: usize,
    /// Bytes that the tensors would take if none shared memory.
    pub unshared_bytes: usize,
    /// Nodes to run, wave by wave.
    pub waves: Vec<Vec<TensorId>>,
}

/// Plans `graph`, which should hold no dead nodes, each node being a step of its own.
pub fn plan(graph: &Graph) -> Plan {
    plan_steps(graph, |id| id.0 as usize)
}

/// Plans a graph whose nodes of one `step` run as one, in one wave; what they read of one another orders
/// nothing.
///
/// # Panics
/// If steps wait for each other in a circle.
pub fn plan_steps(graph: &Graph, step: impl Fn(TensorId) -> usize) -> Plan {
    let n = graph.nodes.len();
    let runs = |i: usize| !graph.nodes[i].op.is_leaf() && graph.nodes[i].op != Op::View;
    let step: Vec<usize> = (0..n).map(|i| step(TensorId(i as u32))).collect();
    let n_steps = step.iter().max().map_or(0, |s| s + 1);

    // The wave of a step is that of its latest node, which may come after nodes that wait for the step:
    // repeated until nothing moves.
    let mut level = vec![0usize; n];
    let mut of_step = vec![0usize; n_steps];
    let mut moved = true;
    let mut rounds = 0;
    while std::mem::take(&mut moved) {
        assert!(rounds <= n, "steps that wait for each other");
        rounds += 1;
        for (i, node) in graph.nodes.iter().enumerate() {
            let others = node.src.iter().filter(|&&s| !runs(i) || step[graph.base(s).0 as usize] != step[i]);
            let ready = others.map(|s| level[s.0 as usize]).max().unwrap_or(0);
            if runs(i) {
                of_step[step[i]] = of_step[step[i]].max(ready + 1);
            }
            let now = if runs(i) { of_step[step[i]] } else { ready };
            moved |= now != level[i];
            level[i] = now;
        }
    }
    let n_waves = level.iter().copied().max().unwrap_or(0);
    let mut waves = vec![Vec::new(); n_waves];
    for i in (0..n).filter(|&i| runs(i)) {
        waves[level[i] - 1].push(TensorId(i as u32));
    }

    // The last wave that touches the memory of each node.
    let mut last = level.clone();
    for (i, node) in graph.nodes.iter().enumerate() {
        for &s in &node.src {
            let owner = graph.storage(s).0 as usize;
            last[owner] = last[owner].max(level[i]);
        }
    }
    for &root in &graph.roots {
        last[graph.storage(root).0 as usize] = usize::MAX;
    }

    let guard = graph.guard.next_multiple_of(ALIGN);
    if guard > 0 {
        last.fill(usize::MAX);
    }

    let mut offsets = vec![None; n];
    let mut arena = Arena { end: guard, ..Arena::default() };
    let mut unshared_bytes = 0;
    let mut alive: Vec<(usize, usize, usize)> = Vec::new(); // (last wave, offset, bytes)
    for (w, wave) in waves.iter().enumerate() {
        let now = w + 1;
        alive.retain(|&(end, offset, bytes)| {
            let keep = end >= now;
            if !keep {
                arena.free(offset, bytes);
            }
            keep
        });
        // Larger tensors first: they leave fewer holes.
        let mut owners: Vec<usize> =
            wave.iter().map(|t| t.0 as usize).filter(|&i| !graph.nodes[i].op.has_effect()).collect();
        owners.sort_by_key(|&i| (std::cmp::Reverse(graph.nodes[i].n_bytes()), i));
        for i in owners {
            let bytes = graph.nodes[i].n_bytes().next_multiple_of(ALIGN) + guard;
            let offset = arena.take(bytes);
            offsets[i] = Some(offset);
            unshared_bytes += bytes;
            alive.push((last[i], offset, bytes));
        }
    }
    Plan { offsets, arena_bytes: arena.end, unshared_bytes, waves }
}

/// Best-fit allocation of offsets.
#[derive(Default)]
struct Arena {
    /// Holes as (offset, bytes), by offset, never adjacent.
    holes: Vec<(usize, usize)>,
    end: usize,
}

impl Arena {
    fn take(&mut self, bytes: usize) -> usize {
        let fit =
            (0..self.holes.len()).filter(|&h| self.holes[h].1 >= bytes).min_by_key(|&h| self.holes[h].1);
        if let Some(h) = fit {
            let (offset, size) = self.holes[h];
            if size == bytes {
                self.holes.remove(h);
            } else {
                self.holes[h] = (offset + bytes, size - bytes);
            }
            return offset;
        }
        // Grow, from the last hole if it touches the end.
        let offset = match self.holes.last() {
            Some(&(offset, size)) if offset + size == self.end => {
                self.holes.pop();
                offset
            }
            _ => self.end,
        };
        self.end = offset + bytes;
        offset
    }

    fn free(&mut self, offset: usize, bytes: usize) {
        let at = self.holes.partition_point(|&(o, _)| o < offset);
        self.holes.insert(at, (offset, bytes));
        if at + 1 < self.holes.len() && offset + bytes == self.holes[at + 1].0 {
            self.holes[at].1 += self.holes.remove(at + 1).1;
        }
        if at > 0 && self.holes[at - 1].0 + self.holes[at - 1].1 == offset {
            self.holes[at - 1].1 += self.holes.remove(at).1;
        }
    }
}
