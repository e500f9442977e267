//! What we ask of ELF files: program interpreter, PVH entry, `.modinfo`.

use object::{
    Endianness, elf,
    read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _},
};

type Header = elf::FileHeader64<Endianness>;

/// Xen's note that names the 32-bit physical entry point, through which PVH boots.
const XEN_ELFNOTE_PHYS32_ENTRY: u32 = 18;
/// `e_machine` of x86-64.
pub(crate) const X86_64: u16 = 62;

/// The facts about an executable or kernel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) machine: u16,
    /// It is of a type that can be executed (`ET_EXEC`, `ET_DYN`) and has something to load.
    pub(crate) executable: bool,
    /// It asks for a dynamic loader (`PT_INTERP`).
    pub(crate) dynamic: bool,
    /// It has a PVH entry point.
    pub(crate) pvh: bool,
}

/// Reads the program headers of a 64-bit ELF.
pub(crate) fn program(file: &[u8]) -> Result<Program, object::Error> {
    let header = Header::parse(file)?;
    let endian = header.endian()?;
    let mut facts =
        Program { machine: header.e_machine(endian).0, executable: false, dynamic: false, pvh: false };
    let mut loads = false;
    for segment in header.program_headers(endian, file)? {
        match segment.p_type(endian) {
            elf::PT_INTERP => facts.dynamic = true,
            elf::PT_LOAD => loads = true,
            _ => {}
        }
        if let Some(mut notes) = segment.notes(endian, file)? {
            while let Some(note) = notes.next()? {
                facts.pvh |= note.name() == b"Xen" && note.n_type(endian).0 == XEN_ELFNOTE_PHYS32_ENTRY;
            }
        }
    }
    facts.executable = loads && matches!(header.e_type(endian), elf::ET_EXEC | elf::ET_DYN);
    Ok(facts)
}

/// The section `name` of a 64-bit ELF, if it has one.
pub(crate) fn section<'a>(file: &'a [u8], name: &str) -> Result<Option<&'a [u8]>, object::Error> {
    let header = Header::parse(file)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, file)?;
    match sections.section_by_name(endian, name.as_bytes()) {
        Some((_, section)) => Ok(Some(section.data(endian, file)?)),
        None => Ok(None),
    }
}
