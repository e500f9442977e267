//! Kernel, first root and the kernel's parameters.

use virtcontainers_types::{KernelParam, MachineType};

use super::{Args, Platform, Props, path};
use crate::{
    accelerator::Accelerator,
    error::InvalidSpec,
    spec::{RootImage, VmSpec},
};

pub(in crate::qemu) fn add(args: &mut Args, spec: &VmSpec, platform: Platform) -> Result<(), InvalidSpec> {
    let boot = &spec.boot;
    if let Some(firmware) = &boot.firmware {
        args.raw("-bios", path("firmware path", firmware)?);
    }
    // These three are taken as they are, commas and all.
    args.raw("-kernel", path("kernel path", &boot.kernel)?);
    match &boot.root {
        RootImage::Initrd(initrd) => args.raw("-initrd", path("initrd path", initrd)?),
        RootImage::Image(image) => {
            let drive = Props::first("id", "root")
                .with("file", path("image path", image)?)
                .with("if", "none")
                .with("format", "raw")
                .with("readonly", "on");
            args.props("-drive", drive);
            args.props("-device", platform.device("virtio-blk").with("drive", "root"));
        }
    }
    args.raw("-append", command_line(spec, platform)?);
    Ok(())
}

/// The driver's parameters, then the user's. Where both name a key, the user's stand alone.
fn command_line(spec: &VmSpec, platform: Platform) -> Result<String, InvalidSpec> {
    let user = &spec.boot.params;
    let all =
        defaults(spec, platform).into_iter().filter(|own| !user.iter().any(|param| param.key == own.key));
    let words = all.chain(user.iter().cloned()).map(word).collect::<Result<Vec<_>, _>>()?;
    Ok(words.join(" "))
}

/// One word of the command line.
fn word(param: KernelParam) -> Result<String, InvalidSpec> {
    let word = param.to_string();
    let wrong = |why| Err(InvalidSpec::KernelParam { param: word.clone(), why });
    if param.key.is_empty() {
        return wrong("its key is empty");
    }
    if param.key.contains('=') {
        return wrong("its key holds an =: put what follows into the value");
    }
    if word.contains(|char: char| char.is_whitespace() || char.is_control() || char == '"') {
        return wrong(
            "blanks, control characters and quotes would split it: give one parameter for each word",
        );
    }
    Ok(word)
}

/// What the driver tells the kernel.
fn defaults(spec: &VmSpec, platform: Platform) -> Vec<KernelParam> {
    let param = KernelParam::new;
    let mut params = vec![
        param("console", platform.console),
        // A panic ends the machine at once: QEMU exits on a reboot.
        param("panic", "-1"),
    ];
    if !spec.debug {
        params.push(param("quiet", ""));
    }
    match &spec.boot.root {
        RootImage::Initrd(_) => {}
        RootImage::Image(_) => params.extend([param("root", "/dev/vda1"), param("ro", "")]),
    }
    match spec.machine {
        MachineType::Q35 | MachineType::Pc | MachineType::Microvm => params.extend(x86(spec)),
        MachineType::Virt | MachineType::Pseries | MachineType::S390CcwVirtio => {}
    }
    params
}

fn x86(spec: &VmSpec) -> Vec<KernelParam> {
    let param = KernelParam::new;
    let mut params = Vec::new();
    if spec.machine == MachineType::Microvm {
        // It has no PCI bus, which the kernel would report as an error.
        params.push(param("pci", "off"));
    }
    if spec.accelerator == Accelerator::Tcg {
        // The translator does not speculate, so what guards against speculation guards nothing. It would under KVM.
        params.push(param("mitigations", "off"));
        // Relocating the kernel by a random offset takes a pass over all of it.
        params.push(param("nokaslr", ""));
        // The kernel's tests of its ciphers take an eighth of a translated boot. They look for faults of cipher hardware,
        // of which a translated guest has none.
        params.push(param("cryptomgr.notests", ""));
        // QEMU 7.2 keeps translations by virtual address, so at random addresses every start of a program has
        // its loader and libraries translated anew: 40 % of an exec, and a mebibyte of translations that is used once.
        params.push(param("norandmaps", ""));
        if let Some(khz) = spec.tsc_khz {
            // The guest's time stamp counter runs at the host's rate: told so, the kernel need not measure it.
            params.push(KernelParam::new("tsc_early_khz", khz.to_string()));
            // All vCPUs read the one counter of the host. Else the kernel takes the ACPI timer for its clock, and each
            // look at that one leaves the translated code and waits for the emulator's lock.
            params.push(param("tsc", "reliable"));
        }
    }
    params
}
