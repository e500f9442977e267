//! `CreateSandboxRequest.kernel_modules`.

use std::sync::Arc;

use virtcontainers_agent_protocol::api::agent::KernelModule;

use super::blocking;
use crate::{agent::Agent, error::CallError};

/// Modules in one request.
const MAX_MODULES: usize = 64;

/// Bytes of a module's parameters together.
const MAX_PARAMETERS: usize = 4096;

/// Checks what is asked for, without loading anything.
///
/// # Errors
/// [`CallError::Invalid`] and [`CallError::TooMany`].
pub(super) fn check(asked: &[KernelModule]) -> Result<(), CallError> {
    if asked.len() > MAX_MODULES {
        return Err(CallError::TooMany { what: "kernel modules in one request", limit: MAX_MODULES });
    }
    for module in asked {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if module.name.is_empty() || module.name.len() > 64 || !module.name.bytes().all(is_name) {
            let name: String = module.name.chars().take(64).collect();
            let reason = format!("`{name}` is no module's name");
            return Err(CallError::Invalid { field: "kernel_modules.name", reason });
        }
        let length: usize = module.parameters.iter().map(|parameter| parameter.len() + 1).sum();
        if length > MAX_PARAMETERS || module.parameters.iter().any(|parameter| parameter.contains('\0')) {
            let reason = format!("at most {MAX_PARAMETERS} bytes without NUL");
            return Err(CallError::Invalid { field: "kernel_modules.parameters", reason });
        }
    }
    Ok(())
}

/// Loads modules of the initrd, each with those it depends on, in the order given.
///
/// # Errors
/// As [`check`]; [`CallError::Module`].
pub(super) async fn load(agent: &Arc<Agent>, asked: &[KernelModule]) -> Result<(), CallError> {
    check(asked)?;
    if asked.is_empty() {
        return Ok(());
    }
    let Some(modules) = agent.modules().cloned() else {
        return Err(CallError::OutsideOfGuest("CreateSandboxRequest.kernel_modules"));
    };
    for module in asked {
        let (modules, name, parameters) =
            (Arc::clone(&modules), module.name.clone(), module.parameters.join(" "));
        let probed = blocking(move || Ok(modules.probe(&name, &parameters))).await;
        probed.map_err(CallError::io("load modules from", "/lib/modules"))??;
    }
    Ok(())
}
