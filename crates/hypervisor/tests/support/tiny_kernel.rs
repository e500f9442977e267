//! A kernel of some two hundred bytes: it greets on the first serial port, then halts for ever or resets the machine.
//!
//! It is an ELF file with the note by which QEMU finds the 32-bit entry point of the PVH boot protocol (Xen's public
//! headers, `XEN_ELFNOTE_PHYS32_ENTRY`), so it starts on every x86 machine type, and in a quarter of a second.

/// What the kernel says.
pub(crate) const GREETING: &str = "HELLO FROM THE GUEST";

/// What the kernel does after its greeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Halts for ever.
    Halt,
    /// Resets the machine, by a fault that cannot be delivered.
    Reset,
}

const BASE: u32 = 0x10_0000;
const HEADERS: u64 = 64 + 2 * 56;

/// The ELF file.
pub(crate) fn image(then: Then) -> Vec<u8> {
    let program = program(then);
    let note = note();
    let length = program.len() as u64;
    let mut file = Vec::new();
    // ELF64, little-endian, executable, x86-64; two program headers right after this one.
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    file.extend([2u16, 62].map(u16::to_le_bytes).concat());
    file.extend(1u32.to_le_bytes());
    file.extend([u64::from(BASE), 64, 0].map(u64::to_le_bytes).concat());
    file.extend(0u32.to_le_bytes());
    file.extend([64u16, 56, 2, 0, 0, 0].map(u16::to_le_bytes).concat());
    let base = u64::from(BASE);
    file.extend(program_header(1, [HEADERS + note.len() as u64, base, base, length, length, 16]));
    file.extend(program_header(4, [HEADERS, 0, 0, note.len() as u64, note.len() as u64, 4]));
    file.extend(note);
    file.extend(program);
    file
}

/// Type, all permissions; then offset, addresses, sizes, alignment.
fn program_header(kind: u32, fields: [u64; 6]) -> Vec<u8> {
    let mut header = [kind, 7].map(u32::to_le_bytes).concat();
    header.extend(fields.map(u64::to_le_bytes).concat());
    header
}

fn note() -> Vec<u8> {
    let mut note = [4u32, 8, 18].map(u32::to_le_bytes).concat();
    note.extend(b"Xen\0");
    note.extend(u64::from(BASE).to_le_bytes());
    note
}

/// 32-bit code, then the message, then eight zeros that serve as an empty interrupt table.
fn program(then: Then) -> Vec<u8> {
    let message = format!("{GREETING}\r\n");
    let code = |message_at: u32, table_at: u32| {
        let mut code = vec![0xfc, 0xbe];
        code.extend(message_at.to_le_bytes());
        code.push(0xb9);
        code.extend((message.len() as u32).to_le_bytes());
        // mov dx, 0x3f8; then lodsb, out dx, al, loop
        code.extend([0x66, 0xba, 0xf8, 0x03, 0xac, 0xee, 0xe2, 0xfc]);
        if then == Then::Reset {
            // lidt [table]; int3
            code.extend([0x0f, 0x01, 0x1d]);
            code.extend(table_at.to_le_bytes());
            code.push(0xcc);
        }
        // cli; hlt; jmp back to the cli
        code.extend([0xfa, 0xf4, 0xeb, 0xfc]);
        code
    };
    let message_at = BASE + code(0, 0).len() as u32;
    let mut program = code(message_at, message_at + message.len() as u32);
    program.extend(message.bytes());
    program.extend([0; 8]);
    program
}
