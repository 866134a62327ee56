//! The cases: which operations, in which shapes.

mod cache;
mod experts;
mod products;
mod rows;

use rocmforge::quant::GgmlType;
use rocmforge_testkit::brief;

use crate::net::{Case, Size};

/// All cases; with `all`, those too that take a processor long.
pub fn all(all: bool) -> Vec<Case> {
    [products::cases(all), rows::cases(all), cache::cases(all), experts::cases(all)]
        .into_iter()
        .flatten()
        .collect()
}

/// The types that weights may have.
fn types() -> impl Iterator<Item = GgmlType> {
    GgmlType::ALL.iter().copied().filter(|ty| ty.is_computable())
}

/// The types that get all of the usual shapes.
fn is_main(ty: GgmlType) -> bool {
    !brief() && matches!(ty, GgmlType::Q4_0 | GgmlType::Q8_0 | GgmlType::Q4_K | GgmlType::Q6_K)
}

fn name(ty: GgmlType) -> String {
    ty.name().to_lowercase()
}

/// Graphs for so many tokens, all of them live.
fn full(tokens: &[usize]) -> Vec<Size> {
    tokens.iter().map(|&n| (n, n)).collect()
}

/// The same for these, or for fewer if the sweep is brief.
fn or_brief(tokens: &[usize], few: &[usize]) -> Vec<Size> {
    full(if brief() { few } else { tokens })
}

/// One token to nine, the numbers around which ways through kernels change, and fewer tokens than there is room for.
fn few_and_many() -> Vec<Size> {
    if brief() {
        return some();
    }
    let mut sizes = full(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 24, 31, 32, 33, 40, 63, 64, 65]);
    sizes.extend([(2, 1), (4, 3), (8, 1), (8, 5), (16, 9), (32, 11), (64, 1), (64, 33), (128, 65)]);
    sizes
}

/// Some of these.
fn some() -> Vec<Size> {
    let mut sizes = or_brief(&[1, 2, 3, 8, 9, 33, 64], &[1, 3, 33]);
    sizes.extend(if brief() { vec![(16, 11), (64, 40)] } else { vec![(4, 3), (16, 11)] });
    sizes
}
