//! The caller's own data, kept with a container.

use std::collections::BTreeMap;

use virtcontainers_store::StoreExt as _;

use super::{Container, ContainerRecord};
use crate::{
    config::check_annotations,
    drive::to_the_end,
    error::{Cause, Error},
    sandbox::Session,
};

impl Container {
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
        let none = || Cause::NoAnnotation { what: format!("container {}", self.id()), key: key.to_owned() };
        Ok(self.load()?.config.annotations.remove(key).ok_or_else(none)?)
    }

    /// Adds annotations, in the place of those with the same key. What was there beside them stays. The guest is not
    /// told: in its OCI spec are those that the container was created with.
    ///
    /// # Errors
    /// A key that cannot be; a record that cannot be written.
    pub async fn set_annotations(&self, annotations: BTreeMap<String, String>) -> Result<(), Error> {
        check_annotations(&annotations)?;
        self.change(|own| own.extend(annotations)).await
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
        self.change(move |own| own.retain(|key, _| !keys.contains(key))).await
    }

    fn load(&self) -> Result<ContainerRecord, Error> {
        Ok(self.sandbox().runtime().store().load_container_as(self.sandbox().id(), self.id())?)
    }

    async fn change(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, String>) + Send + 'static,
    ) -> Result<(), Error> {
        let container = self.clone();
        to_the_end(self.sandbox().runtime(), "annotate container", async move {
            let session = Session::open(&container.shared()).await?;
            let mut record = container.load()?;
            change(&mut record.config.annotations);
            session.save_container(&record)
        })
        .await
    }
}
