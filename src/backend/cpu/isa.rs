//! Which instruction set the kernels use, found once at run time.

use crate::{Error, Result};

/// The instruction sets that kernels are written for, weakest first within an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Portable code; the reference for the others.
    Scalar,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-512 F, BW, VL, DQ and VNNI (and all of [`Isa::Avx2`]).
    Avx512,
    /// Any aarch64.
    Neon,
    /// aarch64 with dot products of bytes (`sdot`), as all since Armv8.4.
    Dotprod,
}

impl Isa {
    /// The best set of this machine, or the weaker one that the environment variable
    /// `ROCMFORGE_ISA` names (`scalar`, `avx2`, `avx512`, `neon`, `dotprod`). A name that is unknown
    /// or that this machine cannot run is an error.
    pub fn detect() -> Result<Isa> {
        let sets = Isa::available();
        let Some(name) = std::env::var_os("ROCMFORGE_ISA") else { return Ok(sets[sets.len() - 1]) };
        let wanted = match name.to_str() {
            Some("scalar") => Isa::Scalar,
            Some("avx2") => Isa::Avx2,
            Some("avx512") => Isa::Avx512,
            Some("neon") => Isa::Neon,
            Some("dotprod") => Isa::Dotprod,
            _ => {
                return Err(Error::InvalidArgument(format!(
                    "ROCMFORGE_ISA is {name:?}; expected scalar, avx2, avx512, neon or dotprod"
                )));
            }
        };
        if !sets.contains(&wanted) {
            return Err(Error::Unsupported(format!(
                "ROCMFORGE_ISA is {name:?}, which this processor cannot run"
            )));
        }
        Ok(wanted)
    }

    /// Every set that this machine can run, weakest first.
    pub fn available() -> &'static [Isa] {
        available()
    }
}

#[cfg(target_arch = "x86_64")]
fn available() -> &'static [Isa] {
    use std::arch::is_x86_feature_detected as has;
    if !(has!("avx2") && has!("fma") && has!("f16c")) {
        &[Isa::Scalar]
    } else if has!("avx512f")
        && has!("avx512bw")
        && has!("avx512vl")
        && has!("avx512dq")
        && has!("avx512vnni")
    {
        &[Isa::Scalar, Isa::Avx2, Isa::Avx512]
    } else {
        &[Isa::Scalar, Isa::Avx2]
    }
}

#[cfg(target_arch = "aarch64")]
fn available() -> &'static [Isa] {
    if std::arch::is_aarch64_feature_detected!("dotprod") {
        &[Isa::Scalar, Isa::Neon, Isa::Dotprod]
    } else {
        &[Isa::Scalar, Isa::Neon]
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn available() -> &'static [Isa] {
    &[Isa::Scalar]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detected_set_is_available() {
        assert!(Isa::available().contains(&Isa::detect().unwrap()));
        assert_eq!(Isa::available()[0], Isa::Scalar);
        assert!(Isa::available().is_sorted());
    }
}
