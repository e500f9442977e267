//! Checks of the files that a guest boots from, and of their hashes.

use std::{fmt::Write as _, fs::File, io, path::Path};

use sha2::{Digest as _, Sha512};
use virtcontainers_types::HypervisorKind;

use super::{HypervisorConfig, Problem, Report, Wanted};

const BUILD: &str = "make a guest with `virtc guest build`, or correct the path";

pub(super) fn check(config: &HypervisorConfig, kind: HypervisorKind, report: &mut Report) {
    // The mock boots nothing, so it can do without; what is given must be right all the same.
    let boots = kind != HypervisorKind::Mock;
    let hashes = &config.asset_hashes;

    if !config.kernel_path.as_os_str().is_empty() {
        let path = config.kernel_path.as_path();
        check_file("kernel_path", path, Wanted::File, hashes.kernel.as_deref(), report);
    } else if boots {
        report.add(
            "kernel_path",
            Problem::Missing("make a guest with `virtc guest build` and name its kernel"),
        );
    }

    match (&config.image_path, &config.initrd_path) {
        (Some(_), Some(_)) => report.add(
            "image_path",
            Problem::Conflict {
                other: "initrd_path",
                remedy: "a guest has one root: leave one of the two out",
            },
        ),
        (None, None) if boots => report.add(
            "initrd_path",
            Problem::Missing("make a guest with `virtc guest build` and name its initrd or image"),
        ),
        (Some(_) | None, Some(_) | None) => {}
    }
    let optional = [
        ("image_path", &config.image_path, &hashes.image, Wanted::File),
        ("initrd_path", &config.initrd_path, &hashes.initrd, Wanted::File),
        ("firmware_path", &config.firmware_path, &hashes.firmware, Wanted::File),
    ];
    for (field, path, hash, wanted) in optional {
        if let Some(path) = path {
            check_file(field, path, wanted, hash.as_deref(), report);
        }
    }
    refuse_hashes_of_nothing(config, report);
    if let (Some(program), Some(hash)) = (&config.hypervisor_path, &hashes.hypervisor)
        && program.is_file()
    {
        check_hash("hypervisor_path", program, hash, report);
    }
}

fn refuse_hashes_of_nothing(config: &HypervisorConfig, report: &mut Report) {
    let hashes = &config.asset_hashes;
    let pairs = [
        ("kernel", &hashes.kernel, config.kernel_path.as_os_str().is_empty()),
        ("image", &hashes.image, config.image_path.is_none()),
        ("initrd", &hashes.initrd, config.initrd_path.is_none()),
        ("firmware", &hashes.firmware, config.firmware_path.is_none()),
        ("hypervisor", &hashes.hypervisor, config.hypervisor_path.is_none()),
    ];
    for (name, hash, no_path) in pairs {
        if hash.is_some() && no_path {
            let problem = Problem::Missing("a hash is given but no path of the file that must have it");
            report.add(&format!("asset_hashes.{name}"), problem);
        }
    }
}

fn check_file(field: &str, path: &Path, wanted: Wanted, hash: Option<&str>, report: &mut Report) {
    if report.path(field, path, wanted, BUILD)
        && let Some(hash) = hash
    {
        check_hash(field, path, hash, report);
    }
}

fn check_hash(field: &str, path: &Path, expected: &str, report: &mut Report) {
    if expected.len() != 128 || !expected.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let problem = Problem::Invalid {
            found: expected.to_owned(),
            expected: "write a SHA-512 as 128 hexadecimal digits (sha512sum prints it)",
        };
        report.add(field, problem);
        return;
    }
    match sha512(path) {
        Ok(found) if found.eq_ignore_ascii_case(expected) => {}
        Ok(found) => report.add(
            field,
            Problem::HashMismatch { path: path.to_owned(), expected: expected.to_ascii_lowercase(), found },
        ),
        Err(error) => {
            report.add(field, Problem::Unreadable { path: path.to_owned(), why: error.to_string() });
        }
    }
}

fn sha512(path: &Path) -> io::Result<String> {
    let mut hasher = Sha512::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().iter().fold(String::with_capacity(128), |mut hex, byte| {
        write!(hex, "{byte:02x}").ok(); // writing to a String cannot fail
        hex
    }))
}
