//! Classic BPF as the kernel runs it, as far as the filters need it. It is written for itself, with none of the names that
//! the filters are made of.

use super::Instruction;

/// Runs a filter on a packet that the kernel has seen coming or going so: how much of it is passed. Nothing if a load goes
/// beyond its end, which rejects it.
pub(super) fn run(program: &[Instruction], packet_type: u8, packet: &[u8]) -> Option<u32> {
    const PACKET_TYPE: u32 = (-4096_i32 + 4).cast_unsigned();
    let byte = |at: u32| match at {
        PACKET_TYPE => Some(packet_type.into()),
        _ => packet.get(at as usize).map(|byte| u32::from(*byte)),
    };
    let half = |at: u32| Some(byte(at)? << 8 | byte(at.checked_add(1)?)?);
    let (mut accumulator, mut index, mut at) = (0, 0_u32, 0);
    loop {
        let Instruction { code, if_true, if_false, operand } = program[at];
        let skip = |holds: bool| usize::from(if holds { if_true } else { if_false });
        at += 1;
        match code {
            0x30 => accumulator = byte(operand)?,
            0x28 => accumulator = half(operand)?,
            0x48 => accumulator = half(index.checked_add(operand)?)?,
            0xb1 => index = (byte(operand)? & 0xf) * 4,
            0x54 => accumulator &= operand,
            0x15 => at += skip(accumulator == operand),
            0x35 => at += skip(accumulator >= operand),
            0x45 => at += skip(accumulator & operand != 0),
            0x06 => return Some(operand),
            unknown => panic!("the filters need no {unknown:#x}"),
        }
    }
}
