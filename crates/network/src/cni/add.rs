//! ADD by a chain of plugins, and the choice of the version to speak to them in.

use serde_json::Value;

use super::{
    Cni, CniError, CniResult, NetworkList, Object, Version,
    cache::Entry,
    invoke::{Command, Said},
    result::in_version,
};

impl Cni {
    /// Runs the plugins, each with the result of the one before. The last result, as it is written and as it is read.
    pub(super) async fn add_chain(&self, entry: &Entry) -> Result<(Object, CniResult), CniError> {
        let mut last: Option<(Object, CniResult)> = None;
        for plugin in &entry.network.plugins {
            let before = last.as_ref().map(|(raw, _)| raw);
            let said = self.invoke(Command::Add, entry, plugin, before).await?;
            let raw = in_version(said.object()?, entry.version);
            let result = CniResult::read(&raw).map_err(|error| said.nonsense(&error))?;
            last = Some((raw, result));
        }
        // A description has a plugin at least.
        Ok(last.unwrap_or_default())
    }

    /// The newest version that the network is described for and every plugin speaks. Where there is but one, the plugins
    /// are not asked: they say so themselves.
    pub(super) async fn negotiate(&self, network: &NetworkList) -> Result<Version, CniError> {
        let mut left = network.versions.clone();
        for plugin in &network.plugins {
            let path = self.locate(network, plugin)?;
            if left.len() < 2 {
                continue;
            }
            let said = self.ask_version(network, &path, left[0]).await?;
            let spoken = spoken(&said)?;
            let common: Vec<_> =
                left.iter().copied().filter(|version| spoken.iter().any(|s| s == version.as_str())).collect();
            if common.is_empty() {
                return Err(CniError::NoVersion {
                    network: network.name.clone(),
                    plugin: path,
                    wanted: left,
                    spoken: spoken.join(", "),
                });
            }
            left = common;
        }
        left.first().copied().ok_or_else(|| CniError::BadConf {
            path: network.path.clone(),
            reason: "it has no version".to_owned(),
        })
    }
}

fn spoken(said: &Said) -> Result<Vec<String>, CniError> {
    let object = said.object()?;
    let Some(Value::Array(versions)) = object.get("supportedVersions") else {
        return Err(said.no_answer("it does not say its \"supportedVersions\""));
    };
    Ok(versions.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}
