//! Accesses of LDS, and moves between lanes that go through its crossbar.

use crate::access::{Bus, Port, extend, lanes, operands, put, span, update};
use crate::error::{Fault, Kind, fault};
use crate::isa::{self, Exec, Inst, Part};
use crate::lds::bank_conflicts;
use crate::pending::Flight;
use crate::race::Access;
use crate::wave::sgpr;

/// Does an LDS instruction.
///
/// # Errors
/// What is wrong with it.
pub fn access(bus: &mut Bus<'_>, port: &mut Port<'_>, inst: &Inst) -> Result<(), Fault> {
    let exec = port.wave.exec();
    let dst = inst.dst.number as usize;
    let address = usize::from(inst.src[0].number);
    let mut flight = Flight::to(span(&inst.dst));
    let at = |port: &Port<'_>, offset: i32| -> [u32; 32] {
        std::array::from_fn(|lane| port.wave.v[address][lane].wrapping_add_signed(offset))
    };
    let two = |unit: u16| [inst.imm & 0xff, inst.imm >> 8 & 0xff].map(|n| n * i32::from(unit));
    match inst.op.exec {
        Exec::Load { bytes, signed, part } => {
            let at = at(port, inst.imm);
            fly(&mut flight, &at, exec, bytes, 0, Access::Read);
            count(bus, &at, exec, bytes);
            if bytes < 4 {
                let by = bus.lds.by(Access::Read, port.clock);
                for lane in lanes(exec) {
                    let value = bus.lds.read(at[lane], bytes.into(), by)?;
                    put(&mut port.wave.v[dst][lane], extend(value, bytes, signed), part);
                }
            } else {
                load(bus, port, &at, bytes, dst)?;
            }
        }
        Exec::LoadTwo { bytes, stride } => {
            let offsets = two(stride);
            fly(&mut flight, &at(port, offsets[0]), exec, bytes, offsets[1] - offsets[0], Access::Read);
            let both = offsets.map(|offset| at(port, offset));
            for (i, at) in both.iter().enumerate() {
                count(bus, at, exec, bytes);
                load(bus, port, at, bytes, dst + i * usize::from(bytes / 4))?;
            }
        }
        Exec::Store { bytes, part } => {
            let at = at(port, inst.imm);
            fly(&mut flight, &at, exec, bytes, 0, Access::Write);
            count(bus, &at, exec, bytes);
            let data = usize::from(inst.src[1].number);
            if bytes < 4 {
                let by = bus.lds.by(Access::Write, port.clock);
                let shift = if part == Part::High { 16 } else { 0 };
                for lane in lanes(exec) {
                    bus.lds.write(at[lane], bytes.into(), port.wave.v[data][lane] >> shift, by)?;
                }
            } else {
                store(bus, port, &at, bytes, data)?;
            }
        }
        Exec::StoreTwo { bytes, stride } => {
            let offsets = two(stride);
            fly(&mut flight, &at(port, offsets[0]), exec, bytes, offsets[1] - offsets[0], Access::Write);
            for (offset, data) in offsets.into_iter().zip([inst.src[1].number, inst.src[2].number]) {
                let at = at(port, offset);
                count(bus, &at, exec, bytes);
                store(bus, port, &at, bytes, usize::from(data))?;
            }
        }
        Exec::Atomic { op, bytes, returns } => {
            let at = at(port, inst.imm);
            fly(&mut flight, &at, exec, bytes, 0, Access::Atomic);
            count(bus, &at, exec, bytes);
            for lane in lanes(exec) {
                let (a, mut b) = operands(port.wave, inst.src[1].number, lane, bytes);
                if inst.src[2].is_some() {
                    b = operands(port.wave, inst.src[2].number, lane, bytes).0;
                }
                let old =
                    bus.lds.update(at[lane], bytes.into(), port.clock, |old| update(op, bytes, old, a, b))?;
                if returns {
                    let words = usize::from(bytes / 4);
                    (0..words).for_each(|w| port.wave.v[dst + w][lane] = (old >> (32 * w)) as u32);
                }
            }
        }
        Exec::Swizzle => {
            let pattern = inst.imm as u32;
            if pattern >> 15 != 0 && pattern >> 8 != 0x80 {
                return Err(fault(Kind::Unsupported, "a swizzle of this mode"));
            }
            let from = |lane: usize| match pattern >> 15 {
                0 => ((lane as u32 & pattern & 31) | pattern >> 5 & 31) ^ (pattern >> 10 & 31),
                _ => lane as u32 & !3 | pattern >> (2 * (lane & 3)) & 3,
            };
            pull(port, inst, usize::from(inst.src[0].number), exec, |lane, _| from(lane) as usize)?;
        }
        Exec::BackwardPermute => {
            let offset = inst.imm;
            let from = |_: usize, address: u32| (address.wrapping_add_signed(offset) / 4 % 32) as usize;
            pull(port, inst, usize::from(inst.src[1].number), exec, from)?;
        }
        Exec::Permute => {
            // Lanes that nobody sends to get 0; of several the last wins.
            let mut out = [0; 32];
            for lane in lanes(exec) {
                let to = port.wave.v[address][lane].wrapping_add_signed(inst.imm) / 4 % 32;
                out[to as usize] = port.wave.v[usize::from(inst.src[1].number)][lane];
            }
            lanes(exec).for_each(|lane| port.wave.v[dst][lane] = out[lane]);
        }
        _ => return Err(fault(Kind::Unsupported, "this kind of access of LDS")),
    }
    port.wave.written(inst, exec);
    port.pending.lds(flight, port.wave, port.clock)
}

/// Every active lane takes register `data` of the lane that `from` tells by its own number and address.
fn pull(
    port: &mut Port<'_>,
    inst: &Inst,
    data: usize,
    exec: u32,
    from: impl Fn(usize, u32) -> usize,
) -> Result<(), Fault> {
    let address = port.wave.v[usize::from(inst.src[0].number)];
    let values = port.wave.v[data];
    let register = isa::Register::Vector(data as u8);
    for lane in lanes(exec) {
        let from = from(lane, address[lane]);
        if exec >> from & 1 == 0 {
            return Err(isa::Fault::InactiveLane { lane: lane as u8, from: from as u8, register }.into());
        }
        port.wave.v[usize::from(inst.dst.number)][lane] = values[from];
    }
    Ok(())
}

fn fly(flight: &mut Flight, at: &[u32; 32], exec: u32, bytes: u8, second: i32, how: Access) {
    (flight.addresses, flight.lanes) = (at.map(u64::from), exec);
    (flight.bytes, flight.second, flight.how) = (bytes.into(), second, how);
}

fn count(bus: &mut Bus<'_>, at: &[u32; 32], exec: u32, bytes: u8) {
    bus.counters.lds += 1;
    if bus.profile {
        bus.counters.conflicts += u64::from(bank_conflicts(at, exec, bytes.into()));
    }
}

/// Loads words of every active lane into the registers from `dst` on.
fn load(bus: &mut Bus<'_>, port: &mut Port<'_>, at: &[u32; 32], bytes: u8, dst: usize) -> Result<(), Fault> {
    fn load<const N: usize>(
        bus: &mut Bus<'_>,
        port: &mut Port<'_>,
        at: &[u32; 32],
        dst: usize,
    ) -> Result<(), Fault> {
        let by = bus.lds.by(Access::Read, port.clock);
        let registers = &mut port.wave.v[dst..dst + N];
        for lane in lanes(port.wave.s[usize::from(sgpr::EXEC)]) {
            let value = bus.lds.read_words::<N>(at[lane], by)?;
            registers.iter_mut().zip(value).for_each(|(register, value)| register[lane] = value);
        }
        Ok(())
    }
    match bytes {
        4 => load::<1>(bus, port, at, dst),
        8 => load::<2>(bus, port, at, dst),
        12 => load::<3>(bus, port, at, dst),
        _ => load::<4>(bus, port, at, dst),
    }
}

/// Stores words of every active lane from the registers from `data` on.
fn store(bus: &mut Bus<'_>, port: &Port<'_>, at: &[u32; 32], bytes: u8, data: usize) -> Result<(), Fault> {
    fn store<const N: usize>(
        bus: &mut Bus<'_>,
        port: &Port<'_>,
        at: &[u32; 32],
        data: usize,
    ) -> Result<(), Fault> {
        let by = bus.lds.by(Access::Write, port.clock);
        let registers = &port.wave.v[data..data + N];
        for lane in lanes(port.wave.exec()) {
            bus.lds.write_words::<N>(at[lane], std::array::from_fn(|n| registers[n][lane]), by)?;
        }
        Ok(())
    }
    match bytes {
        4 => store::<1>(bus, port, at, data),
        8 => store::<2>(bus, port, at, data),
        12 => store::<3>(bus, port, at, data),
        _ => store::<4>(bus, port, at, data),
    }
}
