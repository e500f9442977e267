//! Descriptions of networks: the files of the configuration directory (section 1 of the specification).
//!
//! What is read here is an administrator's, and still bounded and checked: names become parts of paths.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use virtcontainers_sys::fs::read_bounded;

use super::{Attachment, CniError, Object, Version, attachment::is_name};

/// Largest file that is read.
const FILE_LIMIT: u64 = 1 << 20;
/// Most files of a directory, and plugins of a network, that are read.
const COUNT_LIMIT: usize = 256;
/// Longest name of a network: it goes into the name of a cached file.
const NAME_LIMIT: usize = 100;

/// A network: the plugins that attach a container to it, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkList {
    /// Its name.
    pub name: String,
    /// The file that describes it.
    pub path: PathBuf,
    /// The versions of the specification that it is described for, of those known here, the newest first. Never empty.
    pub versions: Vec<Version>,
    /// Whether CHECK is not to be called.
    pub disable_check: bool,
    /// The plugins. Never empty.
    pub plugins: Vec<Plugin>,
}

/// One plugin's part in a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugin {
    /// Its type, which is the name of its program's file.
    pub kind: String,
    /// What it can be asked for at each attachment.
    pub capabilities: BTreeSet<String>,
    /// What it is told: the object of the description, whole.
    pub conf: Object,
}

impl NetworkList {
    /// Reads the description of a network: a list of plugins, or a single plugin.
    ///
    /// # Errors
    /// [`CniError::Unreadable`] and [`CniError::BadConf`].
    pub fn read(path: &Path) -> Result<Self, CniError> {
        let wrong = |reason: String| CniError::BadConf { path: path.to_owned(), reason };
        let mut object = read_object(path)?;
        let name = text(&object, "name").map_err(wrong)?.to_owned();
        check_name(&name, || path.to_owned())?;
        let versions = versions(&object).map_err(wrong)?;
        let disable_check = flag(&object, "disableCheck").map_err(wrong)?;
        let only_inlined = flag(&object, "loadOnlyInlinedPlugins").map_err(wrong)?;
        let plugins = match object.remove("plugins") {
            Some(Value::Array(plugins)) => {
                let mut plugins =
                    plugins.into_iter().map(Plugin::read).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
                if !only_inlined {
                    plugins.extend(beside(path, &name)?);
                }
                plugins
            }
            Some(_) => return Err(wrong("\"plugins\" is no list".to_owned())),
            None => vec![Plugin::read(Value::Object(object)).map_err(wrong)?],
        };
        if plugins.is_empty() || plugins.len() > COUNT_LIMIT {
            return Err(wrong(format!("it has {} plugins, and not 1 to {COUNT_LIMIT}", plugins.len())));
        }
        Ok(Self { name, path: path.to_owned(), versions, disable_check, plugins })
    }

    /// Refuses what no plugin does.
    pub(super) fn serves(&self, attachment: &Attachment) -> Result<(), CniError> {
        let unserved = |name: &str| !self.plugins.iter().any(|plugin| plugin.capabilities.contains(name));
        match attachment.wishes().into_iter().find(|(name, _, must)| *must && unserved(name)) {
            Some((capability, _, _)) => Err(CniError::NoCapability {
                network: self.name.clone(),
                path: self.path.clone(),
                capability: capability.to_owned(),
            }),
            None => Ok(()),
        }
    }
}

impl Plugin {
    fn read(value: Value) -> Result<Self, String> {
        let Value::Object(conf) = value else { return Err("a plugin is no JSON object".to_owned()) };
        let kind = text(&conf, "type")?.to_owned();
        check_file_name(&kind)?;
        if let Some(ipam) = conf.get("ipam").and_then(|ipam| ipam.get("type")) {
            check_file_name(ipam.as_str().unwrap_or_default())?;
        }
        let declared = conf.get("capabilities").and_then(Value::as_object);
        let capabilities = declared
            .into_iter()
            .flatten()
            .filter(|(_, value)| **value == Value::Bool(true))
            .map(|(name, _)| name.clone())
            .collect();
        Ok(Self { kind, capabilities, conf })
    }
}

/// Every network of the directory, and every file of it that describes none.
pub(super) fn load(dir: &Path) -> Result<(Vec<NetworkList>, Vec<CniError>), CniError> {
    let mut known: Vec<NetworkList> = Vec::new();
    let mut broken = Vec::new();
    for path in list(dir, &["conflist", "conf", "json"])? {
        match NetworkList::read(&path) {
            Ok(network) if known.iter().any(|other| other.name == network.name) => {}
            Ok(network) => known.push(network),
            Err(error) => broken.push(error),
        }
    }
    Ok((known, broken))
}

/// Refuses what cannot be a network's name, and so no part of a path either.
pub(super) fn check_name(name: &str, path: impl Fn() -> PathBuf) -> Result<(), CniError> {
    if is_name(name) && name.len() <= NAME_LIMIT {
        return Ok(());
    }
    let reason = format!(
        "{name:?} is no network's name: a letter or digit, then letters, digits, '_', '.' and '-', at most {NAME_LIMIT}"
    );
    Err(CniError::BadConf { path: path(), reason })
}

/// The plugins in the folder beside the description that has the network's name.
fn beside(path: &Path, name: &str) -> Result<Vec<Plugin>, CniError> {
    let Some(dir) = path.parent().map(|parent| parent.join(name)) else { return Ok(Vec::new()) };
    let read = |path: PathBuf| {
        let object = read_object(&path)?;
        Plugin::read(Value::Object(object)).map_err(|reason| CniError::BadConf { path, reason })
    };
    list(&dir, &["conf"])?.into_iter().map(read).collect()
}

/// The files of a directory with one of these extensions, by name. One that is not there has none.
fn list(dir: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, CniError> {
    let unreadable = |source| CniError::Unreadable { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| extensions.contains(&extension)) && path.is_file() {
            paths.push(path);
        }
    }
    if paths.len() > COUNT_LIMIT {
        let source = io::Error::other(format!("it has more than {COUNT_LIMIT} descriptions"));
        return Err(unreadable(source));
    }
    paths.sort();
    Ok(paths)
}

fn read_object(path: &Path) -> Result<Object, CniError> {
    let unreadable = |source| CniError::Unreadable { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(unreadable)?;
    let bytes = read_bounded(file.into(), FILE_LIMIT).map_err(unreadable)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| CniError::BadConf { path: path.to_owned(), reason: error.to_string() })
}

fn text<'a>(object: &'a Object, key: &str) -> Result<&'a str, String> {
    object.get(key).and_then(Value::as_str).ok_or_else(|| format!("it has no text {key:?}"))
}

/// A switch. libcni's own reader takes the words too.
fn flag(object: &Object, key: &str) -> Result<bool, String> {
    match object.get(key) {
        None => Ok(false),
        Some(Value::Bool(value)) => Ok(*value),
        Some(Value::String(word)) if word.eq_ignore_ascii_case("true") => Ok(true),
        Some(Value::String(word)) if word.eq_ignore_ascii_case("false") => Ok(false),
        Some(other) => Err(format!("{key:?} is {other}, and neither true nor false")),
    }
}

/// `cniVersions` and `cniVersion` together, without those that are not spoken here.
fn versions(object: &Object) -> Result<Vec<Version>, String> {
    let listed = object.get("cniVersions").and_then(Value::as_array).into_iter().flatten();
    let named: Vec<&str> = listed.chain(object.get("cniVersion")).filter_map(Value::as_str).collect();
    let versions: Vec<_> =
        Version::ALL.into_iter().filter(|version| named.contains(&version.as_str())).collect();
    match (versions.is_empty(), named.is_empty()) {
        (false, _) => Ok(versions),
        (true, true) => Err("it has no \"cniVersion\", so it is of a version before 0.3.0".to_owned()),
        (true, false) => Err(format!(
            "it is of the versions {}, and 0.3.0, 0.3.1, 0.4.0, 1.0.0 and 1.1.0 are spoken here",
            named.join(", ")
        )),
    }
}

/// A plugin's type becomes the last part of a path.
fn check_file_name(kind: &str) -> Result<(), String> {
    let good = !kind.is_empty()
        && kind.len() <= 255
        && !matches!(kind, "." | "..")
        && !kind.contains(|c: char| matches!(c, '/' | '\\') || c.is_control());
    if good { Ok(()) } else { Err(format!("the plugin type {kind:?} is no name of a file")) }
}
