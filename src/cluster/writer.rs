//! Everything that is written to the API server goes through here, so that it is written one way: server-side
//! apply under one field manager, status compared first, the object's identity always checked.

use std::fmt::Debug;

use kube::{
    Client, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    core::{Request, object::HasStatus},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::request::in_time;
pub use super::request::{Error, Failure, Result};

/// Writes to the API server as one field manager.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    manager: &'static str,
}

impl Writer {
    /// A writer whose fields belong to `manager`.
    pub fn new(client: Client, manager: &'static str) -> Self {
        Self { client, manager }
    }

    /// The client below, for reads.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Makes the object as it is given, as far as this writer's fields go, whether it was there or not.
    pub async fn apply<K: Object>(&self, object: &K) -> Result<K> {
        let request = path(object).patch(&object.name_any(), &self.forced(), &Patch::Apply(object));
        self.send("apply", object, request).await
    }

    /// Makes some fields of an object that is there already, and leaves those of others as they are.
    pub async fn apply_fields<K: Object>(&self, object: &K, fields: Value) -> Result<K> {
        let mut body = identity(object);
        if let (Value::Object(body), Value::Object(fields)) = (&mut body, fields) {
            body.extend(fields);
        }
        let request = path(object).patch(&object.name_any(), &self.forced(), &Patch::Apply(body));
        self.send("apply", object, request).await
    }

    /// Makes the object unless it is there already, in which case it is left as it is; the object, if this made it.
    pub async fn create<K: Object>(&self, object: &K) -> Result<Option<K>> {
        let request = serde_json::to_vec(object)
            .map_err(kube::core::request::Error::SerializeBody)
            .and_then(|body| path(object).create(&self.created(), body));
        match self.send("create", object, request).await {
            Err(error) if error.already_exists() => Ok(None),
            other => other.map(Some),
        }
    }

    /// Says `status` of the object, unless it says so already; the object as it is then.
    ///
    /// Guarantee: it is said of this very object, never of one that took its name since. With `Claim::Exclusive`
    /// it is a conflict when anybody has written the object since it was read.
    pub async fn apply_status<K>(
        &self,
        object: &K,
        status: &K::Status,
        claim: Claim,
    ) -> Result<Option<K>>
    where
        K: Object + HasStatus,
        K::Status: Serialize + PartialEq,
    {
        if object.status() == Some(status) {
            return Ok(None);
        }
        let mut body = identity(object);
        body["status"] = json!(status);
        match claim {
            Claim::Shared => {}
            Claim::Exclusive => {
                body["metadata"]["resourceVersion"] = json!(object.resource_version());
            }
        }
        let request = path(object).patch_subresource(
            "status",
            &object.name_any(),
            &self.forced(),
            &Patch::Apply(body),
        );
        self.send("write the status of", object, request)
            .await
            .map(Some)
    }

    /// Makes the object's labels those of `wanted`, adds its annotations, and leaves everything else as it is.
    pub async fn mark<K: Object>(&self, object: &K, wanted: &K) -> Result<K> {
        let stays = |key: &&String| wanted.labels().contains_key(*key);
        let gone = object.labels().keys().filter(|key| !stays(key));
        let mut labels: serde_json::Map<String, Value> =
            gone.map(|key| (key.clone(), Value::Null)).collect();
        labels.extend(
            wanted
                .labels()
                .iter()
                .map(|(key, value)| (key.clone(), Value::from(value.as_str()))),
        );
        let patch = json!({ "metadata": {
            "uid": object.uid(),
            "labels": labels,
            "annotations": wanted.annotations(),
        }});
        let request = path(object).patch(&object.name_any(), &self.merged(), &Patch::Merge(patch));
        self.send("label", object, request).await
    }

    /// Puts our finalizer on the object; the object as it is then.
    pub async fn hold<K: Object>(&self, object: &K, finalizer: &str) -> Result<K> {
        let mut finalizers = object.finalizers().to_vec();
        finalizers.push(finalizer.to_owned());
        self.set_finalizers("hold", object, &finalizers).await
    }

    /// Takes our finalizer off the object. Fine when the object, or the finalizer, is gone already.
    pub async fn release<K: Object>(&self, object: &K, finalizer: &str) -> Result<()> {
        let others: Vec<_> = object
            .finalizers()
            .iter()
            .filter(|name| *name != finalizer)
            .cloned()
            .collect();
        if others.len() == object.finalizers().len() {
            return Ok(());
        }
        gone_is_fine(
            self.set_finalizers("release", object, &others)
                .await
                .map(drop),
        )
    }

    /// Asks for deletion of this very object. Fine when it is gone already.
    pub async fn delete<K: Object>(&self, object: &K) -> Result<()> {
        let uid = object.uid();
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid,
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let request = path(object).delete(&object.name_any(), &params);
        gone_is_fine(
            self.send::<K, serde_json::Value>("delete", object, request)
                .await
                .map(drop),
        )
    }

    /// The resource version makes this a conflict, not a loss, when somebody else changed the finalizers.
    async fn set_finalizers<K: Object>(
        &self,
        operation: &'static str,
        object: &K,
        finalizers: &[String],
    ) -> Result<K> {
        let patch = json!({ "metadata": {
            "uid": object.uid(),
            "resourceVersion": object.resource_version(),
            "finalizers": finalizers,
        }});
        let request = path(object).patch(&object.name_any(), &self.merged(), &Patch::Merge(patch));
        self.send(operation, object, request).await
    }

    async fn send<K: Object, T: DeserializeOwned>(
        &self,
        operation: &'static str,
        object: &K,
        request: std::result::Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<T> {
        let sent = async {
            let request = request.map_err(kube::Error::BuildRequest)?;
            self.client.request(request).await
        };
        in_time(operation, subject(object), sent).await
    }

    fn forced(&self) -> PatchParams {
        PatchParams::apply(self.manager).force()
    }

    fn merged(&self) -> PatchParams {
        PatchParams {
            field_manager: Some(self.manager.to_owned()),
            ..PatchParams::default()
        }
    }

    fn created(&self) -> PostParams {
        PostParams {
            field_manager: Some(self.manager.to_owned()),
            ..PostParams::default()
        }
    }
}

/// Whether a status may overwrite what others have written since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It may: the fields are ours, and recomputed from what is.
    Shared,
    /// It may not: the decision was taken on what was read.
    Exclusive,
}

/// A kind whose static type is known: every kind that this project writes.
pub trait Object:
    Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug
{
}
impl<K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug> Object for K {}

fn path<K: Object>(object: &K) -> Request {
    Request::new(K::url_path(&(), object.namespace().as_deref()))
}

/// What says which object an applied document is about: this very one, not one that took its name since.
fn identity<K: Object>(object: &K) -> Value {
    let meta = object.meta();
    let mut identity = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": { "name": meta.name, "uid": meta.uid },
    });
    if let Some(namespace) = &meta.namespace {
        identity["metadata"]["namespace"] = json!(namespace);
    }
    identity
}

/// How an object is called in errors: `Server shop/web-1`.
pub fn subject<K: Resource<DynamicType = ()>>(object: &K) -> String {
    let kind = K::kind(&());
    match object.namespace() {
        Some(namespace) => format!("{kind} {namespace}/{}", object.name_any()),
        None => format!("{kind} {}", object.name_any()),
    }
}

/// Deleting what is not there has succeeded; so has deleting what was replaced by another of the same name.
fn gone_is_fine(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.failure() == Failure::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
