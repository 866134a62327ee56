//! The search for points of a grid near to groups of weights, which the IQ types share.

use std::sync::OnceLock;

use super::search::nearest;

/// A grid of points of `D` coordinates, which are levels 0, 1, .. of `bits` bits each.
pub(super) struct Lattice<const D: usize> {
    /// Coordinate i of a point in its bits `bits * i`.
    points: &'static [u16],
    bits: u32,
    /// From how many different distances the neighbours of a point off the grid are taken.
    wanted: usize,
    tables: OnceLock<Tables>,
}

struct Tables {
    /// By packed coordinates, the number of the point of the grid; [`OFF`] for others.
    index: Vec<u16>,
    /// By packed coordinates, points near to one that is off the grid, made on first use: all at
    /// the smallest distances, nearest first, in the order of the grid among equals.
    neighbours: Vec<OnceLock<Box<[u16]>>>,
}

const OFF: u16 = u16::MAX;

impl<const D: usize> Lattice<D> {
    pub(super) const fn new(points: &'static [u16], bits: u32, wanted: usize) -> Self {
        Lattice { points, bits, wanted, tables: OnceLock::new() }
    }

    fn tables(&self) -> &Tables {
        self.tables.get_or_init(|| {
            let n = 1 << (self.bits * D as u32);
            let mut index = vec![OFF; n];
            for (k, &point) in self.points.iter().enumerate() {
                index[usize::from(point)] = k as u16;
            }
            Tables { index, neighbours: (0..n).map(|_| OnceLock::new()).collect() }
        })
    }

    fn pack(&self, levels: &[u8; D]) -> usize {
        levels.iter().rev().fold(0, |packed, &l| packed << self.bits | usize::from(l))
    }

    fn unpack(&self, packed: usize) -> [u8; D] {
        let mask = (1 << self.bits) - 1;
        std::array::from_fn(|i| (packed >> (self.bits as usize * i) & mask) as u8)
    }

    /// The levels of point `index`.
    pub(super) fn point(&self, index: u16) -> [u8; D] {
        self.unpack(self.points[usize::from(index)].into())
    }

    /// The point with these levels, if it is on the grid.
    pub(super) fn find(&self, levels: &[u8; D]) -> Option<u16> {
        let index = self.tables().index[self.pack(levels)];
        (index != OFF).then_some(index)
    }

    /// The points near to `levels`; never empty.
    fn neighbours(&self, levels: &[u8; D]) -> &[u16] {
        self.tables().neighbours[self.pack(levels)].get_or_init(|| {
            let distance = |point: u16| {
                let point = self.unpack(point.into());
                point.iter().zip(levels).map(|(a, b)| u32::from(a.abs_diff(*b)).pow(2)).sum()
            };
            let mut near: Vec<(u32, u16)> =
                self.points.iter().enumerate().map(|(k, &p)| (distance(p), k as u16)).collect();
            near.sort_unstable();
            let mut distances: Vec<u32> = near.iter().map(|n| n.0).collect();
            distances.dedup();
            let last = distances[self.wanted.min(distances.len()) - 1];
            near.into_iter().take_while(|n| n.0 <= last).map(|n| n.1).collect()
        })
    }

    /// Of the points near to `levels`, the one that is nearest to `x` when level l stands for
    /// `scale * value(l)`, distances being weighted.
    pub(super) fn nearest(
        &self,
        levels: &[u8; D],
        x: &[f32; D],
        weights: &[f32; D],
        scale: f32,
        value: impl Fn(u8) -> f32,
    ) -> u16 {
        let near = self.neighbours(levels);
        let (mut best, mut best_distance) = (near[0], f32::MAX);
        for &k in near {
            let mut distance = 0.0f32;
            for ((&l, &x), &w) in self.point(k).iter().zip(x).zip(weights) {
                let diff = scale * value(l) - x;
                distance += w * diff * diff;
            }
            if distance < best_distance {
                (best, best_distance) = (k, distance);
            }
        }
        best
    }
}

/// What is done to the groups once the best scale is known.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Again {
    /// All are chosen again.
    Always,
    /// All are chosen again if one of them was off the grid.
    IfAnyOff,
    /// Those that were off the grid are chosen again.
    TheOff,
}

/// How [`fit`] searches.
pub(super) struct Fit {
    /// Levels are 0 to this less one, and stand for 1, 3, 5, ..
    pub(super) levels: i32,
    /// The peak is mapped to the highest value plus `width` k, k from `-steps` to `steps`.
    pub(super) steps: i32,
    pub(super) width: f32,
    pub(super) again: Again,
}

/// Finds `scale` and points such that `x ~ scale * value` has a small weighted square error. The
/// points of groups of `D` are numbers of the grid; `peak` is what spans the highest value, and
/// `scale` is what stands if nothing better is found.
pub(super) fn fit<const N: usize, const D: usize>(
    lattice: &Lattice<D>,
    how: &Fit,
    x: &[f32; N],
    weights: &[f32; N],
    peak: f32,
    mut scale: f32,
) -> (f32, [u8; N]) {
    let roots = weights.map(f32::sqrt);
    let groups = || x.as_chunks::<D>().0.iter().zip(roots.as_chunks::<D>().0);
    let value = |l: u8| f32::from(2 * l + 1);
    // The levels of a group: the nearest ones if they are on the grid, which is the second answer.
    let choose = |x: &[f32; D], roots: &[f32; D], inverse: f32, scale: f32| {
        let levels = x.map(|v| nearest(0.5 * (inverse * v - 1.0)).clamp(0, how.levels - 1) as u8);
        match lattice.find(&levels) {
            Some(_) => (levels, true),
            None => (lattice.point(lattice.nearest(&levels, x, roots, scale, value)), false),
        }
    };
    let sums = |levels: &[u8; N]| {
        x.iter().zip(weights).zip(levels).fold((0.0f32, 0.0f32), |(qx, q2), ((&x, &w), &l)| {
            let q = value(l);
            (qx + w * x * q, q2 + w * q * q)
        })
    };

    let mut levels = [0; N];
    let mut on_grid = [how.again != Again::IfAnyOff; N];
    let mut best = 0.0;
    for step in -how.steps..=how.steps {
        let inverse = ((2 * how.levels - 1) as f32 + step as f32 * how.width) / peak;
        let (mut trial, mut trial_on) = ([0; N], [true; N]);
        for (k, (x, roots)) in groups().enumerate() {
            let (levels, on) = choose(x, roots, inverse, 1.0 / inverse);
            trial[D * k..][..D].copy_from_slice(&levels);
            trial_on[k] = on;
        }
        let (qx, q2) = sums(&trial);
        if q2 > 0.0 && qx * qx > best * q2 {
            scale = qx / q2;
            best = scale * qx;
            (levels, on_grid) = (trial, trial_on);
        }
    }
    let any_off = on_grid[..N / D].contains(&false);
    if (any_off || how.again == Again::Always) && scale > 0.0 {
        for (k, (x, roots)) in groups().enumerate() {
            if how.again != Again::TheOff || !on_grid[k] {
                let (chosen, _) = choose(x, roots, 1.0 / scale, scale);
                levels[D * k..][..D].copy_from_slice(&chosen);
            }
        }
        let (qx, q2) = sums(&levels);
        if q2 > 0.0 {
            scale = qx / q2;
        }
    }
    (scale, levels)
}

/// Magnitudes of eight weights and a bit for each negative one. With `even`, their number is made
/// even by turning over the weight that matters least, whose magnitude becomes negative.
pub(super) fn signs(x: &[f32], weights: &[f32], even: bool, magnitudes: &mut [f32]) -> u8 {
    let mut bits = 0u8;
    for (i, (&v, magnitude)) in x.iter().zip(magnitudes.iter_mut()).enumerate() {
        let negative = v < 0.0;
        *magnitude = if negative { -v } else { v };
        bits |= u8::from(negative) << i;
    }
    if even && bits.count_ones() % 2 == 1 {
        let loss = |i: usize| weights[i] * x[i] * x[i];
        let least = (1..8).fold(0, |least, i| if loss(i) < loss(least) { i } else { least });
        magnitudes[least] = -magnitudes[least];
        bits ^= 1 << least;
    }
    bits
}

/// The scale of 4 bits, 0 to `max`, for `d * (2 * scale + 1)`; `id` is 1 / d.
pub(super) fn odd_scale(id: f32, scale: f32, max: i32) -> u8 {
    nearest(0.5 * (id * scale - 1.0)).clamp(0, max) as u8
}

pub(super) fn largest(x: &[f32]) -> f32 {
    x.iter().fold(x[0], |peak, &v| if peak > v { peak } else { v })
}
