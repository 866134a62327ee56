//! Accesses of LDS, and moves between lanes that go through its crossbar.

use crate::access::{Bus, Port, extend, lanes, operands, put, span, update};
use crate::error::{Fault, Kind, fault};
use crate::isa::{self, Exec, Inst, Part};
use crate::lds::bank_conflicts;
use crate::pending::Flight;
use crate::race::Access;

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
            for lane in lanes(exec) {
                let value = read(bus, port, at[lane], bytes)?;
                if bytes < 4 {
                    put(&mut port.wave.v[dst][lane], extend(value[0], bytes, signed), part);
                } else {
                    (0..usize::from(bytes / 4)).for_each(|w| port.wave.v[dst + w][lane] = value[w]);
                }
            }
        }
        Exec::LoadTwo { bytes, stride } => {
            let offsets = two(stride);
            fly(&mut flight, &at(port, offsets[0]), exec, bytes, offsets[1] - offsets[0], Access::Read);
            let words = usize::from(bytes / 4);
            let both = offsets.map(|offset| at(port, offset));
            for (i, at) in both.iter().enumerate() {
                count(bus, at, exec, bytes);
                for lane in lanes(exec) {
                    let value = read(bus, port, at[lane], bytes)?;
                    (0..words).for_each(|w| port.wave.v[dst + i * words + w][lane] = value[w]);
                }
            }
        }
        Exec::Store { bytes, part } => {
            let at = at(port, inst.imm);
            fly(&mut flight, &at, exec, bytes, 0, Access::Write);
            count(bus, &at, exec, bytes);
            for lane in lanes(exec) {
                write(bus, port, at[lane], bytes, inst.src[1].number, part, lane)?;
            }
        }
        Exec::StoreTwo { bytes, stride } => {
            let offsets = two(stride);
            fly(&mut flight, &at(port, offsets[0]), exec, bytes, offsets[1] - offsets[0], Access::Write);
            for (offset, data) in offsets.into_iter().zip([inst.src[1].number, inst.src[2].number]) {
                let at = at(port, offset);
                count(bus, &at, exec, bytes);
                for lane in lanes(exec) {
                    write(bus, port, at[lane], bytes, data, Part::Whole, lane)?;
                }
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

/// Pairs of 12 bytes are as good as aligned by 16 asks.
fn align(bytes: u8) -> u32 {
    u32::from(bytes).next_power_of_two()
}

fn read(bus: &mut Bus<'_>, port: &Port<'_>, at: u32, bytes: u8) -> Result<[u32; 4], Fault> {
    bus.lds.read(at, bytes.into(), align(bytes), port.clock)
}

fn write(
    bus: &mut Bus<'_>,
    port: &Port<'_>,
    at: u32,
    bytes: u8,
    data: u8,
    part: Part,
    lane: usize,
) -> Result<(), Fault> {
    let register = |i: usize| port.wave.v.get(usize::from(data) + i).map_or(0, |r| r[lane]);
    let mut value: [u32; 4] =
        std::array::from_fn(|i| if 4 * i < usize::from(bytes) { register(i) } else { 0 });
    if part == Part::High {
        value[0] >>= 16;
    }
    bus.lds.write(at, bytes.into(), align(bytes), value, port.clock)
}
