//! What launches did, counted.

use crate::isa::Class;

/// Classes of instructions, in the order of a table, and what it calls them.
pub const CLASSES: [(Class, &str); 15] = [
    (Class::Vector, "vector"),
    (Class::Transcendental, "trans"),
    (Class::Dot, "dot"),
    (Class::Wmma, "wmma"),
    (Class::Double, "f64"),
    (Class::Scalar, "scalar"),
    (Class::ScalarLoad, "s_load"),
    (Class::Load, "load"),
    (Class::Store, "store"),
    (Class::Atomic, "atomic"),
    (Class::Lds, "lds"),
    (Class::Branch, "branch"),
    (Class::Wait, "wait"),
    (Class::Barrier, "barrier"),
    (Class::Other, "other"),
];

/// Counts of one launch, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counters {
    /// Launches.
    pub launches: u64,
    /// Workgroups.
    pub groups: u64,
    /// Waves.
    pub waves: u64,
    /// Instructions of waves, in the order of [`CLASSES`].
    pub instructions: [u64; CLASSES.len()],
    /// Bytes that vector loads asked for: lanes times bytes.
    pub bytes_loaded: u64,
    /// Bytes that vector stores and atomics wrote.
    pub bytes_stored: u64,
    /// Bytes of scalar loads.
    pub bytes_scalar: u64,
    /// Vector loads of memory.
    pub loads: u64,
    /// Distinct lines of 128 bytes of each of these, summed; only if profiled.
    pub lines: u64,
    /// Accesses of LDS.
    pub lds: u64,
    /// Cycles that these take beyond the fewest, because lanes want different words of one bank; only if profiled.
    pub conflicts: u64,
    /// Nanoseconds that the interpreter took.
    pub nanoseconds: u64,
}

impl Counters {
    /// Instructions of all classes.
    pub fn total(&self) -> u64 {
        self.instructions.iter().sum()
    }

    /// Million instructions that the interpreter did in a second.
    pub fn rate(&self) -> f64 {
        1e3 * self.total() as f64 / self.nanoseconds.max(1) as f64
    }

    /// Counts instructions of a class.
    pub fn count(&mut self, class: Class, n: u64) {
        if let Some(at) = CLASSES.iter().position(|(c, _)| *c == class) {
            self.instructions[at] += n;
        }
    }

    /// Adds those of another launch.
    pub fn add(&mut self, other: &Counters) {
        for (mine, theirs) in self.instructions.iter_mut().zip(other.instructions) {
            *mine += theirs;
        }
        let pairs: [(&mut u64, u64); 11] = [
            (&mut self.launches, other.launches),
            (&mut self.groups, other.groups),
            (&mut self.waves, other.waves),
            (&mut self.bytes_loaded, other.bytes_loaded),
            (&mut self.bytes_stored, other.bytes_stored),
            (&mut self.bytes_scalar, other.bytes_scalar),
            (&mut self.loads, other.loads),
            (&mut self.lines, other.lines),
            (&mut self.lds, other.lds),
            (&mut self.conflicts, other.conflicts),
            (&mut self.nanoseconds, other.nanoseconds),
        ];
        for (mine, theirs) in pairs {
            *mine += theirs;
        }
    }

    /// The heads of [`Counters::row`].
    pub fn heads() -> String {
        let mut heads = format!("{:>8} {:>8} {:>11}", "launches", "waves", "instr");
        CLASSES.iter().for_each(|(_, name)| heads += &format!(" {name:>8}"));
        heads
            + &format!(
                " {:>11} {:>11} {:>6} {:>7} {:>9} {:>5}",
                "loaded", "stored", "lines", "of line", "conflicts", "M/s"
            )
    }

    /// Counts; bytes loaded and stored, lines of 128 bytes a load and how much of them was asked for, and conflicts of
    /// banks for each access of LDS; million instructions that the interpreter did in a second.
    pub fn row(&self) -> String {
        let mut row = format!("{:>8} {:>8} {:>11}", self.launches, self.waves, self.total());
        self.instructions.iter().for_each(|n| row += &format!(" {n:>8}"));
        let share = |a: u64, b: u64| if b == 0 { 0.0 } else { a as f64 / b as f64 };
        row + &format!(
            " {:>11} {:>11} {:>6.2} {:>6.0}% {:>9.2} {:>5.1}",
            self.bytes_loaded,
            self.bytes_stored,
            share(self.lines, self.loads),
            100.0 * share(self.bytes_loaded, 128 * self.lines),
            share(self.conflicts, self.lds),
            self.rate()
        )
    }
}

/// Lines of 128 bytes that lanes touch.
pub(crate) fn lines(addresses: &[u64; 32], lanes: u32, bytes: u32) -> u64 {
    let mut all = [0u64; 64];
    let mut n = 0;
    for lane in (0..32).filter(|lane| lanes >> lane & 1 == 1) {
        for line in [addresses[lane] / 128, (addresses[lane] + u64::from(bytes) - 1) / 128] {
            if n == 0 || all[n - 1] != line {
                all[n] = line;
                n += 1;
            }
        }
    }
    let all = &mut all[..n];
    all.sort_unstable();
    (0..n).filter(|&i| i == 0 || all[i] != all[i - 1]).count() as u64
}
