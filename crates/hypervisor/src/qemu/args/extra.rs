//! The user's own arguments, last, so that they win.

use super::Args;
use crate::{error::InvalidSpec, spec::VmSpec};

/// `key=value` becomes `-key value`, a bare key `-key` (the reference document's `HypervisorParams`).
pub(in crate::qemu) fn add(args: &mut Args, spec: &VmSpec) -> Result<(), InvalidSpec> {
    for param in &spec.extra_params {
        let wrong = |why| Err(InvalidSpec::ExtraParam { param: param.to_string(), why });
        let key = param.key.trim_start_matches('-');
        if key.is_empty() {
            return wrong("it names no option");
        }
        if key.contains(char::is_whitespace) {
            return wrong("an option's name holds no blank: put what follows into the value");
        }
        if param.key.contains('\0') || param.value.contains('\0') {
            return wrong("it holds a NUL");
        }
        match param.value.as_str() {
            "" => args.flag(&format!("-{key}")),
            value => args.raw(&format!("-{key}"), value),
        }
    }
    Ok(())
}
