//! The caller's own data, kept with a sandbox.

use std::{collections::BTreeMap, sync::Arc};

use virtcontainers_store::StoreExt as _;

use super::{Sandbox, SandboxRecord, Session, Shared};
use crate::{
    config::check_annotations,
    drive::to_the_end,
    error::{Cause, Error},
};

impl Sandbox {
    /// Its annotations.
    ///
    /// # Errors
    /// When it does not exist or its record cannot be read.
    pub async fn annotations(&self) -> Result<BTreeMap<String, String>, Error> {
        Ok(self.load()?.config.annotations)
    }

    /// One of its annotations.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when it has none of that key.
    pub async fn annotation(&self, key: &str) -> Result<String, Error> {
        let none = || Cause::NoAnnotation { what: format!("sandbox {}", self.id()), key: key.to_owned() };
        Ok(self.load()?.config.annotations.remove(key).ok_or_else(none)?)
    }

    /// Adds annotations, in the place of those with the same key. What was there beside them stays.
    ///
    /// # Errors
    /// A key that cannot be; a record that cannot be written.
    pub async fn set_annotations(&self, annotations: BTreeMap<String, String>) -> Result<(), Error> {
        check_annotations(&annotations)?;
        self.change("annotate sandbox", |own| own.extend(annotations)).await
    }

    /// Removes annotations by their keys. A key that is not there is no error.
    ///
    /// # Errors
    /// A record that cannot be written.
    pub async fn remove_annotations(
        &self,
        keys: impl IntoIterator<Item = String> + Send,
    ) -> Result<(), Error> {
        let keys: Vec<_> = keys.into_iter().collect();
        self.change("annotate sandbox", move |own| own.retain(|key, _| !keys.contains(key))).await
    }

    async fn change(
        &self,
        verb: &'static str,
        change: impl FnOnce(&mut BTreeMap<String, String>) + Send + 'static,
    ) -> Result<(), Error> {
        to_the_end(self.runtime(), verb, save(Arc::clone(self.shared()), change)).await
    }
}

async fn save(
    shared: Arc<Shared>,
    change: impl FnOnce(&mut BTreeMap<String, String>) + Send,
) -> Result<(), Error> {
    let session = Session::open(&shared).await?;
    let store = session.runtime().store();
    // As it is on record, for the session's phase is what was seen of it.
    let mut record: SandboxRecord = store.load_as(session.id())?;
    change(&mut record.config.annotations);
    Ok(store.save_as(session.lease(), &record)?)
}
