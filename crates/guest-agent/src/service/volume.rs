//! `GetVolumeStats`: how full a file system is, in the form of the Container Storage Interface.

use std::{io, path::PathBuf, sync::Arc};

use rustix::fs::StatVfs;
use virtcontainers_agent_protocol::api::{
    agent::VolumeStatsRequest,
    csi::{VolumeCondition, VolumeStatsResponse, VolumeUsage, volume_usage::Unit},
};

use super::blocking;
use crate::{agent::Agent, container::spec::is_plain, error::CallError};

pub(super) async fn stats(
    _: &Arc<Agent>,
    request: VolumeStatsRequest,
) -> Result<VolumeStatsResponse, CallError> {
    let path = PathBuf::from(request.volume_guest_path);
    if !is_plain(&path) {
        let reason = format!("`{}` must be an absolute path without `..`", path.display());
        return Err(CallError::Invalid { field: "volume_guest_path", reason });
    }
    let asked = path.clone();
    match blocking(move || Ok(rustix::fs::statvfs(&asked)?)).await {
        Ok(numbers) => Ok(response(&numbers)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(CallError::NoFile(path))
        }
        Err(error) => Err(CallError::io("measure the volume at", path)(error)),
    }
}

/// `available` is what the unprivileged may still use, which with what is used can be less than the total.
fn response(numbers: &StatVfs) -> VolumeStatsResponse {
    let usage = |unit: Unit, size: u64, total: u64, free: u64, available: u64| VolumeUsage {
        unit: unit.into(),
        total: total.saturating_mul(size),
        used: total.saturating_sub(free).saturating_mul(size),
        available: available.saturating_mul(size),
        ..Default::default()
    };
    let bytes = usage(Unit::BYTES, numbers.f_frsize, numbers.f_blocks, numbers.f_bfree, numbers.f_bavail);
    let inodes = usage(Unit::INODES, 1, numbers.f_files, numbers.f_ffree, numbers.f_favail);
    let condition = VolumeCondition { message: "OK".to_owned(), ..Default::default() };
    VolumeStatsResponse {
        usage: vec![bytes, inodes],
        volume_condition: Some(condition).into(),
        ..Default::default()
    }
}
