//! The sessions of one context, in a row: each computes some layers of the model and hands the residual
//! stream on to the next. A model on one device is a row of one.

use std::ops::Range;

use super::{AbortCheck, Inputs, KvHead, ProgramId, Session, SessionMemory};
use crate::graph::{Graph, Input, Op, passes};
use crate::{Error, Result, counters};

/// A session and the layers it computes, the model's head counted as one behind the last.
pub struct Stage {
    /// What computes them.
    pub session: Box<dyn Session>,
    /// The layers.
    pub layers: Range<usize>,
}

/// See the module's documentation.
pub struct Pipeline {
    stages: Vec<Stage>,
    programs: Vec<Vec<Step>>,
    /// Whether the last stage was part of the last run.
    done: bool,
}

/// What one stage does of a program.
struct Step {
    stage: usize,
    program: ProgramId,
    /// Whether it reads what the step before it made.
    takes_hidden: bool,
}

impl Pipeline {
    /// A row of `stages`, in the order of their layers.
    pub fn new(stages: Vec<Stage>) -> Pipeline {
        Pipeline { stages, programs: Vec::new(), done: false }
    }

    /// Compiles the graphs that `build` makes of each stage's layers. Done once per shape; may allocate.
    pub fn compile(&mut self, mut build: impl FnMut(Range<usize>) -> Result<Graph>) -> Result<ProgramId> {
        let mut steps = Vec::with_capacity(self.stages.len());
        // From the last, which is where memory may lack: what is compiled stays, and is of no use alone.
        for (i, stage) in self.stages.iter_mut().enumerate().rev() {
            let graph = build(stage.layers.clone())?;
            counters::graph_build(1);
            // As the head, where no outputs are wanted.
            if graph.roots.is_empty() {
                continue;
            }
            let graph = passes::optimise(graph, stage.session.packing());
            let takes_hidden = graph.nodes.iter().any(|n| n.op == Op::Input(Input::Hidden));
            counters::graph_compile(1);
            let program = stage.session.compile(&graph)?;
            steps.push(Step { stage: i, program, takes_hidden });
        }
        steps.reverse();
        self.programs.push(steps);
        Ok(ProgramId(self.programs.len() - 1))
    }

    /// Runs a program, stage after stage. Allocates nothing. Of `inputs`, only the hidden rows change.
    pub fn run(
        &mut self,
        id: ProgramId,
        inputs: &mut Inputs,
        mut abort: Option<AbortCheck<'_>>,
    ) -> Result<()> {
        self.done = false;
        for (i, step) in self.programs[id.0].iter().enumerate() {
            if step.takes_hidden && i > 0 {
                let hidden = self.stages[self.programs[id.0][i - 1].stage].session.output(0);
                let room = inputs.hidden.get_mut(..hidden.len());
                room.ok_or_else(|| Error::Internal("no room for the hidden rows".into()))?
                    .copy_from_slice(hidden);
            }
            let abort = abort.as_mut().map(|a| &mut **a as AbortCheck<'_>);
            self.stages[step.stage].session.run(step.program, inputs, abort)?;
            self.done = step.stage + 1 == self.stages.len();
        }
        Ok(())
    }

    /// Output `i` of the last run; see [`Session::output`].
    pub fn output(&self, i: usize) -> &[f32] {
        match self.stages.last() {
            Some(stage) if self.done => stage.session.output(i),
            _ => &[],
        }
    }

    /// Changes the number of threads, where that means something.
    pub fn set_threads(&mut self, n_threads: usize, n_threads_batch: usize) -> Result<()> {
        self.stages.iter_mut().try_for_each(|s| s.session.set_threads(n_threads, n_threads_batch))
    }

    /// See [`Session::kv_read`]; layers are those of the model.
    pub fn kv_read(&self, head: KvHead, cells: Range<usize>, out: &mut [u8]) -> Result<()> {
        let (stage, own) = self.find(head)?;
        self.stages[stage].session.kv_read(own, cells, out)
    }

    /// See [`Session::kv_write`]; layers are those of the model.
    pub fn kv_write(&mut self, head: KvHead, cells: Range<usize>, rows: &[u8]) -> Result<()> {
        let (stage, own) = self.find(head)?;
        self.stages[stage].session.kv_write(own, cells, rows)
    }

    /// The stage that has a head, and the head as the stage numbers layers.
    fn find(&self, head: KvHead) -> Result<(usize, KvHead)> {
        let stage = self.stages.iter().position(|s| s.layers.contains(&head.layer));
        let stage = stage.ok_or_else(|| Error::Internal(format!("there is no {head:?}")))?;
        Ok((stage, KvHead { layer: head.layer - self.stages[stage].layers.start, ..head }))
    }

    /// Bytes of the KV caches and of the arenas.
    pub fn memory(&self) -> SessionMemory {
        self.stages.iter().map(|s| s.session.memory()).fold(SessionMemory::default(), |a, b| SessionMemory {
            kv: a.kv + b.kv,
            compute: a.compute + b.compute,
        })
    }
}
