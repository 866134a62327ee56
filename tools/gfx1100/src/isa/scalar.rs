//! What the tables of scalar instructions are made of.

use super::{Inst, Kind, Operand};
use crate::wave::{Wave, sgpr};

/// A type that scalar instructions compute with.
pub(super) trait Scalar: Copy {
    /// What it is as an operand.
    const KIND: Kind;
    /// Reads it.
    fn get(wave: &Wave, operand: &Operand) -> Self;
    /// Writes it.
    fn put(self, wave: &mut Wave, operand: &Operand);
    /// Is not zero.
    fn nonzero(self) -> bool;
}

/// One register or constant.
#[inline(always)]
fn get_32(wave: &Wave, o: &Operand) -> u32 {
    if o.is_scalar() { wave.s[o.number as usize] } else { o.value as u32 }
}

/// One register.
#[inline(always)]
fn put_32(wave: &mut Wave, number: u8, value: u32) {
    if number != sgpr::NULL {
        wave.s[number as usize] = value;
    }
}

macro_rules! scalar {
    ($narrow:ty, $wide:ty, $kind:ident) => {
        impl Scalar for $narrow {
            const KIND: Kind = Kind::B32;
            #[inline(always)]
            fn get(wave: &Wave, o: &Operand) -> Self {
                get_32(wave, o) as $narrow
            }
            #[inline(always)]
            fn put(self, wave: &mut Wave, o: &Operand) {
                put_32(wave, o.number, self as u32);
            }
            #[inline(always)]
            fn nonzero(self) -> bool {
                self != 0
            }
        }
        impl Scalar for $wide {
            const KIND: Kind = Kind::$kind;
            #[inline(always)]
            fn get(wave: &Wave, o: &Operand) -> Self {
                match o.is_scalar() {
                    true if o.number == sgpr::NULL => 0,
                    true => {
                        let at = o.number as usize;
                        (wave.s[at] as u64 | (wave.s[at + 1] as u64) << 32) as $wide
                    }
                    false => o.value as $wide,
                }
            }
            #[inline(always)]
            fn put(self, wave: &mut Wave, o: &Operand) {
                if o.number != sgpr::NULL {
                    wave.s[o.number as usize] = self as u32;
                    wave.s[o.number as usize + 1] = (self as u64 >> 32) as u32;
                }
            }
            #[inline(always)]
            fn nonzero(self) -> bool {
                self != 0
            }
        }
    };
}
scalar!(u32, u64, B64);
scalar!(i32, i64, I64);

/// The value of operand `n`, 32 bits.
pub(super) fn value(wave: &Wave, inst: &Inst, n: usize) -> u32 {
    get_32(wave, &inst.src[n])
}

/// Writes the 32-bit result.
pub(super) fn set(wave: &mut Wave, inst: &Inst, value: u32) {
    put_32(wave, inst.dst.number, value);
}

/// A table of scalar instructions. A line is
///
/// ```text
/// code name (operands; scc, old) -> result, rule = value;
/// ```
///
/// The operands are the sources in order. After the semicolon come what else is read: `scc` the condition,
/// `old` the destination as it was, `imm` the immediate; only `scc` under its name. The rule says what
/// becomes of the condition: without one it stays; `nonzero`: whether the result is not zero; `scc`: the
/// value is a pair, of which it is the second.
macro_rules! salu {
    (@flags) => { 0 };
    (@flags nonzero) => { flag::WRITES_SCC };
    (@flags scc) => { flag::WRITES_SCC };
    (@put $w:ident $i:ident $t:ty, $r:expr) => { <$t as Scalar>::put($r, $w, &$i.dst) };
    (@put $w:ident $i:ident $t:ty, $r:expr, nonzero) => {{
        let r: $t = $r;
        $w.scc = Scalar::nonzero(r);
        <$t as Scalar>::put(r, $w, &$i.dst)
    }};
    (@put $w:ident $i:ident $t:ty, $r:expr, scc) => {{
        let (r, scc): ($t, bool) = $r;
        $w.scc = scc;
        <$t as Scalar>::put(r, $w, &$i.dst)
    }};
    ($encoding:ident: $($code:literal $name:ident ($($a:ident: $t:ty),* $(; scc $c:ident)? $(; old $old:ident)? $(; imm $imm:ident)?)
        -> $r:ty $(, $rule:ident)? $([$($flag:ident)|+])? = $e:expr;)*) => {
        &[$(Op {
            code: $code,
            name: stringify!($name),
            encoding: Encoding::$encoding,
            dst: <$r as Scalar>::KIND,
            dst2: Kind::None,
            src: super::kinds(&[$(<$t as Scalar>::KIND),*]),
            class: Class::Scalar,
            flags: salu!(@flags $($rule)?) $(| { let _ = stringify!($c); flag::READS_SCC })?
                $(| { let _ = stringify!($old); flag::READS_DST })? $($(| flag::$flag)+)?,
            exec: Exec::Compute(|w, i| {
                let n = 0usize;
                $(let $a = <$t as Scalar>::get(w, &i.src[n]); let n = n + 1;)*
                let _ = n;
                $(let $c = w.scc;)?
                $(let $old = <$r as Scalar>::get(w, &i.dst);)?
                $(let $imm = i.imm;)?
                salu!(@put w i $r, $e $(, $rule)?)
            }),
        }),*]
    };
}
pub(super) use salu;
