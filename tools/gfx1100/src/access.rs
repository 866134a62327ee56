//! Loads, stores and atomics on memory: vector (global, flat, private) and scalar.

use crate::counters::{Counters, lines};
use crate::error::{Fault, Kind, fault};
use crate::isa::{Atomic, Encoding, Exec, Inst, Operand, Part, Span};
use crate::lds::Lds;
use crate::memory::{self, Memory};
use crate::pending::{Flight, Pending};
use crate::race::{Access, Clock};
use crate::wave::{Wave, sgpr};

/// The high half of flat addresses of LDS, and of private memory.
pub const SHARED_BASE: u32 = 0x0001_0000;
/// See [`SHARED_BASE`].
pub const PRIVATE_BASE: u32 = 0x0002_0000;

/// What the waves of a workgroup reach.
pub struct Bus<'a> {
    /// The device's.
    pub memory: &'a mut Memory,
    /// The workgroup's.
    pub lds: &'a mut Lds,
    /// The launch's.
    pub counters: &'a mut Counters,
    /// Whether to count what takes time to count.
    pub profile: bool,
}

/// What a wave has for its accesses.
pub struct Port<'a> {
    /// Its registers.
    pub wave: &'a mut Wave,
    /// What it knows of others.
    pub clock: &'a mut Clock,
    /// What it has under way.
    pub pending: &'a mut Pending,
    /// Private memory of its lanes, one after another.
    pub scratch: &'a mut [u8],
}

/// The value of a scalar register or of a pair of them.
pub fn scalar(wave: &Wave, operand: &Operand) -> u64 {
    let word = |n: u8| u64::from(wave.s[n as usize]);
    match operand.registers() {
        1 => word(operand.number),
        _ => word(operand.number) | word(operand.number + 1) << 32,
    }
}

/// Vector registers of an operand; none if there is no operand.
pub fn span(operand: &Operand) -> Span {
    match operand.is_some() {
        true => Span { first: operand.number, count: operand.registers() },
        false => Span::default(),
    }
}

/// Active lanes.
pub fn lanes(mask: u32) -> impl Iterator<Item = usize> {
    (0..32).filter(move |lane| mask >> lane & 1 == 1)
}

/// Addresses of the lanes of a vector access.
fn addresses(wave: &Wave, inst: &Inst) -> [u64; 32] {
    let (address, base) = (&inst.src[0], &inst.src[2]);
    let has_base = base.is_some() && base.number != sgpr::NULL;
    let start = if has_base { scalar(wave, base) } else { 0 }.wrapping_add_signed(inst.imm.into());
    let n = address.number as usize;
    match (address.is_some(), address.registers()) {
        (false, _) => [start; 32],
        (true, 1) => std::array::from_fn(|lane| start.wrapping_add(u64::from(wave.v[n][lane]))),
        _ => std::array::from_fn(|lane| {
            start.wrapping_add(u64::from(wave.v[n][lane]) | u64::from(wave.v[n + 1][lane]) << 32)
        }),
    }
}

/// Sign-extends a loaded value where it is to be.
pub fn extend(value: u32, bytes: u8, signed: bool) -> u32 {
    match (bytes, signed) {
        (1, true) => value as u8 as i8 as u32,
        (2, true) => value as u16 as i16 as u32,
        _ => value,
    }
}

/// Puts a loaded value into a register.
pub fn put(register: &mut u32, value: u32, part: Part) {
    *register = match part {
        Part::Whole => value,
        Part::Low => *register & 0xffff_0000 | value & 0xffff,
        Part::High => *register & 0xffff | value << 16,
    };
}

/// Does a vector access.
///
/// # Errors
/// What is wrong with it.
pub fn vector(bus: &mut Bus<'_>, port: &mut Port<'_>, inst: &Inst) -> Result<(), Fault> {
    let exec = port.wave.exec();
    let addresses = addresses(port.wave, inst);
    if inst.op.encoding == Encoding::Scratch {
        return private(bus, port, inst, &addresses);
    }
    let aperture = |lane: usize| (addresses[lane] >> 32) as u32;
    let flat = inst.op.encoding == Encoding::Flat;
    if flat && lanes(exec).any(|lane| matches!(aperture(lane), SHARED_BASE | PRIVATE_BASE)) {
        return Err(fault(Kind::Unsupported, "a flat access of LDS or private memory"));
    }
    let dst = span(&inst.dst);
    let flight =
        |how, bytes, told| Flight { dst, sdst: 0, addresses, lanes: exec, bytes, second: 0, how, told };
    let land = |port: &mut Port<'_>, flight: Flight| {
        port.wave.written(inst, exec);
        port.pending.load(flight, flat, port.wave, port.clock)
    };
    match inst.op.exec {
        Exec::Load { bytes, signed, part } => {
            let how = if inst.glc { Access::ReadFresh } else { Access::Read };
            load(bus, port, &addresses, exec, inst.dst.number, (bytes, signed, part), how)?;
            let mut told = None;
            if inst.glc {
                for lane in lanes(exec) {
                    told = bus.memory.told(addresses[lane]).or(told);
                }
            }
            land(port, flight(how, bytes.into(), told))?;
        }
        Exec::Store { bytes, part } => {
            store(bus, port, &addresses, exec, inst.src[1].number, bytes, part)?;
            port.pending.store(flight(Access::Write, bytes.into(), None));
            if flat {
                // It might go to LDS, so it counts there too.
                port.pending.lds(Flight::to(Span::default()), port.wave, port.clock)?;
            }
        }
        Exec::Atomic { op, bytes, .. } => {
            let finished = port.pending.stores_done();
            let mut told = None;
            for lane in lanes(exec) {
                let (address, len) = (addresses[lane], u64::from(bytes));
                if !address.is_multiple_of(len) {
                    return Err(fault(
                        Kind::Alignment,
                        format!("an atomic operation on {len} bytes at {address:#x}"),
                    ));
                }
                let block = bus.memory.find(address, len, true)?;
                bus.memory.note(block, address, len, Access::Atomic, port.clock)?;
                told = Some(bus.memory.synchronise(address, port.clock, finished));
                // SAFETY: found in a block of data just now.
                let old = unsafe { memory::read(address, bytes.into()) };
                let (a, b) = operands(port.wave, inst.src[1].number, lane, bytes);
                // SAFETY: as above.
                unsafe { memory::write(address, bytes.into(), update(op, bytes, old, a, b)) };
                if inst.glc {
                    for word in 0..usize::from(dst.count) {
                        port.wave.v[usize::from(dst.first) + word][lane] = (old >> (32 * word)) as u32;
                    }
                }
            }
            bus.counters.bytes_stored += u64::from(exec.count_ones()) * u64::from(bytes);
            if inst.glc {
                land(port, flight(Access::Atomic, bytes.into(), told))?;
            } else {
                port.pending.store(flight(Access::Atomic, bytes.into(), None));
            }
        }
        _ => return Err(fault(Kind::Unsupported, "this kind of access")),
    }
    Ok(())
}

fn load(
    bus: &mut Bus<'_>,
    port: &mut Port<'_>,
    addresses: &[u64; 32],
    exec: u32,
    dst: u8,
    (bytes, signed, part): (u8, bool, Part),
    how: Access,
) -> Result<(), Fault> {
    touch(bus.memory, addresses, exec, bytes, how, port.clock)?;
    let dst = usize::from(dst);
    if bytes < 4 {
        for lane in lanes(exec) {
            // SAFETY: in a block, by `touch`.
            let value = unsafe { memory::read(addresses[lane], bytes.into()) } as u32;
            put(&mut port.wave.v[dst][lane], extend(value, bytes, signed), part);
        }
    } else {
        for word in 0..usize::from(bytes / 4) {
            let register = &mut port.wave.v[dst + word];
            // SAFETY: in a block if the lane is active, by `touch`.
            let read = |lane: usize| unsafe { memory::read(addresses[lane] + 4 * word as u64, 4) as u32 };
            match exec {
                u32::MAX => (0..32).for_each(|lane| register[lane] = read(lane)),
                _ => lanes(exec).for_each(|lane| register[lane] = read(lane)),
            }
        }
    }
    bus.counters.loads += 1;
    bus.counters.bytes_loaded += u64::from(exec.count_ones()) * u64::from(bytes);
    if bus.profile {
        bus.counters.lines += lines(addresses, exec, bytes.into());
    }
    Ok(())
}

fn store(
    bus: &mut Bus<'_>,
    port: &mut Port<'_>,
    addresses: &[u64; 32],
    exec: u32,
    data: u8,
    bytes: u8,
    part: Part,
) -> Result<(), Fault> {
    touch(bus.memory, addresses, exec, bytes, Access::Write, port.clock)?;
    let data = usize::from(data);
    for lane in lanes(exec) {
        let value = port.wave.v[data][lane];
        if bytes < 4 {
            let value = if part == Part::High { value >> 16 } else { value };
            // SAFETY: in a block of data, by `touch`.
            unsafe { memory::write(addresses[lane], bytes.into(), value.into()) };
        } else {
            for word in 0..usize::from(bytes / 4) {
                let value = port.wave.v[data + word][lane];
                // SAFETY: in a block of data, by `touch`.
                unsafe { memory::write(addresses[lane] + 4 * word as u64, 4, value.into()) };
            }
        }
    }
    bus.counters.bytes_stored += u64::from(exec.count_ones()) * u64::from(bytes);
    Ok(())
}

/// Checks that the lanes may access memory so, and notes that they do; lanes with bytes in a row together.
fn touch(
    memory: &mut Memory,
    addresses: &[u64; 32],
    exec: u32,
    bytes: u8,
    how: Access,
    clock: &Clock,
) -> Result<(), Fault> {
    // Four bytes and fewer may lie anywhere: ROCm sets the mode for that, and compilers make one load of several bytes.
    let (align, bytes) = (if bytes > 4 { 4 } else { 1 }, u64::from(bytes));
    if exec == 0 {
        return Ok(());
    }
    // Mostly lanes are at equal distances, or want the same.
    let (first, last) = (exec.trailing_zeros() as usize, 31 - exec.leading_zeros() as usize);
    let start = addresses[first];
    let stride = addresses[(first + 1).min(last)].wrapping_sub(start);
    let mut differ = 0;
    for (lane, address) in addresses.iter().enumerate() {
        let expected = start.wrapping_add((lane as u64).wrapping_sub(first as u64).wrapping_mul(stride));
        differ |= (address ^ expected) & 0u64.wrapping_sub(u64::from(exec >> lane & 1));
    }
    let whole = stride == 0 || exec >> first == u32::MAX >> (31 - (last - first));
    if differ == 0 && whole && stride < 1 << 12 && (start | stride).is_multiple_of(align) {
        let lanes = if stride == 0 { 1 } else { (last - first + 1) as u64 };
        if let Ok(block) = memory.find(start, stride * (lanes - 1) + bytes, how == Access::Write) {
            return match stride == bytes {
                true => memory.note(block, start, bytes * lanes, how, clock),
                false => memory.note_row(block, start, bytes, stride, lanes, how, clock),
            };
        }
    }
    let mut run = 0..0;
    let mut block = 0;
    for lane in lanes(exec) {
        let address = addresses[lane];
        if !address.is_multiple_of(align) {
            return Err(fault(Kind::Alignment, format!("{bytes} bytes at {address:#x}, in lane {lane}")));
        }
        if run.contains(&address) && address + bytes <= run.end {
            continue;
        }
        let found = memory.find(address, bytes, how == Access::Write);
        let found = found.map_err(|f| Fault { text: format!("lane {lane}: {}", f.text), ..f })?;
        if address == run.end && found == block {
            run.end += bytes;
            continue;
        }
        if !run.is_empty() {
            memory.note(block, run.start, run.end - run.start, how, clock)?;
        }
        (block, run) = (found, address..address + bytes);
    }
    if run.is_empty() { Ok(()) } else { memory.note(block, run.start, run.end - run.start, how, clock) }
}

/// Private memory.
fn private(_bus: &mut Bus<'_>, port: &mut Port<'_>, inst: &Inst, addresses: &[u64; 32]) -> Result<(), Fault> {
    let exec = port.wave.exec();
    let each = port.scratch.len() / 32;
    let place = |lane: usize, bytes: u8| -> Result<usize, Fault> {
        let at = addresses[lane] as u32 as usize;
        if at + usize::from(bytes) > each || !at.is_multiple_of(usize::from(bytes.min(4))) {
            return Err(fault(
                Kind::Memory,
                format!("{bytes} bytes at {at} of {each} bytes of private memory"),
            ));
        }
        Ok(lane * each + at)
    };
    match inst.op.exec {
        Exec::Load { bytes, signed, part } => {
            for lane in lanes(exec) {
                let from = &port.scratch[place(lane, bytes)?..][..bytes.into()];
                for (word, from) in from.chunks(4).enumerate() {
                    let value = from.iter().rev().fold(0, |v, &b| v << 8 | u32::from(b));
                    let register = &mut port.wave.v[usize::from(inst.dst.number) + word][lane];
                    put(register, extend(value, bytes, signed), part);
                }
            }
            port.wave.written(inst, exec);
            port.pending.load(Flight::to(span(&inst.dst)), false, port.wave, port.clock)?;
        }
        Exec::Store { bytes, part } => {
            for lane in lanes(exec) {
                let to = &mut port.scratch[place(lane, bytes)?..][..bytes.into()];
                for (word, to) in to.chunks_mut(4).enumerate() {
                    let value = port.wave.v[usize::from(inst.src[1].number) + word][lane];
                    let value = if part == Part::High { value >> 16 } else { value };
                    to.copy_from_slice(&value.to_le_bytes()[..to.len()]);
                }
            }
            port.pending.store(Flight::to(Span::default()));
        }
        _ => return Err(fault(Kind::Unsupported, "this kind of access of private memory")),
    }
    Ok(())
}

/// Does a scalar load.
///
/// # Errors
/// What is wrong with it.
pub fn scalar_load(bus: &mut Bus<'_>, port: &mut Port<'_>, inst: &Inst) -> Result<(), Fault> {
    let Exec::Load { bytes, .. } = inst.op.exec else {
        return Err(fault(Kind::Unsupported, "this kind of scalar access"));
    };
    let offset = if inst.src[1].is_some() { scalar(port.wave, &inst.src[1]) } else { 0 };
    let base = scalar(port.wave, &inst.src[0]);
    let address = base.wrapping_add(offset & 0xffff_ffff).wrapping_add_signed(inst.imm.into());
    if !address.is_multiple_of(4) {
        return Err(fault(Kind::Alignment, format!("{bytes} bytes at {address:#x}")));
    }
    let block = bus.memory.find(address, bytes.into(), false)?;
    bus.memory.note(block, address, bytes.into(), Access::ReadScalar, port.clock)?;
    for word in 0..usize::from(bytes / 4) {
        // SAFETY: found in a block just now.
        let value = unsafe { memory::read(address + 4 * word as u64, 4) } as u32;
        port.wave.s[usize::from(inst.dst.number) + word] = value;
    }
    bus.counters.bytes_scalar += u64::from(bytes);
    port.wave.written(inst, port.wave.exec());
    port.pending.scalar(inst.uses.s_write, port.wave);
    Ok(())
}

/// The operands of an atomic operation: new value, and what is compared.
pub fn operands(wave: &Wave, data: u8, lane: usize, bytes: u8) -> (u64, u64) {
    let words = usize::from(bytes / 4);
    let value = |first: usize| {
        (0..words).rev().fold(0u64, |v, w| {
            v << 32 | wave.v.get(usize::from(data) + first + w).map_or(0, |r| u64::from(r[lane]))
        })
    };
    (value(0), value(words))
}

/// What an atomic operation stores where `old` was; `a` is its operand, `b` the second.
pub fn update(op: Atomic, bytes: u8, old: u64, a: u64, b: u64) -> u64 {
    let signed = |v: u64| if bytes == 4 { i64::from(v as u32 as i32) } else { v as i64 };
    let f = |v: u64| f32::from_bits(v as u32);
    let result = match op {
        Atomic::Swap => a,
        Atomic::CompareSwap => {
            if old == b {
                a
            } else {
                old
            }
        }
        Atomic::Add => old.wrapping_add(a),
        Atomic::Sub => old.wrapping_sub(a),
        Atomic::ReverseSub => a.wrapping_sub(old),
        Atomic::MinI => {
            if signed(a) < signed(old) {
                a
            } else {
                old
            }
        }
        Atomic::MinU => old.min(a),
        Atomic::MaxI => {
            if signed(a) > signed(old) {
                a
            } else {
                old
            }
        }
        Atomic::MaxU => old.max(a),
        Atomic::And => old & a,
        Atomic::Or => old | a,
        Atomic::Xor => old ^ a,
        Atomic::Inc => {
            if old >= a {
                0
            } else {
                old + 1
            }
        }
        Atomic::Dec => {
            if old == 0 || old > a {
                a
            } else {
                old - 1
            }
        }
        Atomic::AddF32 => (f(old) + f(a)).to_bits().into(),
        Atomic::MinF32 => f(old).min(f(a)).to_bits().into(),
        Atomic::MaxF32 => f(old).max(f(a)).to_bits().into(),
        Atomic::CompareSwapF32 => {
            if f(old) == f(b) {
                a
            } else {
                old
            }
        }
    };
    if bytes == 4 { result & 0xffff_ffff } else { result }
}
