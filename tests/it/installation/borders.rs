//! How far somebody gets who has taken over an agent or an operator: what their rights alone would allow, and the
//! policies of the chart do not.

use anyhow::{Context, Result, ensure};
use http::Request;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::Client;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::{Value, json};
use testbed::{Seen, wait_for};

use crate::shared::SOON;

use super::turn;

const AGENT: &str = "system:serviceaccount:kilonova-system:kilonova-agent";
const METADATA: &str = "system:serviceaccount:kilonova-system:kilonova-metadata";
const OPERATOR: &str = "system:serviceaccount:kilonova-system:kilonova-operator";
/// What the API server writes into the token of a pod: the node that it runs on.
const ON_NODE: &str = "Impersonate-Extra-Authentication.kubernetes.io%2fnode-name";

/// Makes something, as somebody does who may run on a node; what the API server says if it refuses.
async fn make(
    client: &Client,
    (user, node): (&str, Option<&str>),
    path: &str,
    object: &Value,
) -> Result<Option<String>> {
    let mut request = Request::post(format!("{path}?dryRun=All"))
        .header("Content-Type", "application/json")
        .header("Impersonate-User", user);
    if let Some(node) = node {
        request = request.header(ON_NODE, node);
    }
    let request = request.body(serde_json::to_vec(object)?)?;
    match client.request::<Value>(request).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status.message.clone())),
        Err(error) => Err(error).context(path.to_owned()),
    }
}

fn token(bound_to: Option<&str>, life_s: i64) -> Value {
    let node = bound_to.map(|name| json!({ "apiVersion": "v1", "kind": "Node", "name": name }));
    json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": { "boundObjectRef": node, "expirationSeconds": life_s, "audiences": [] },
    })
}

fn object(kind: &str, name: &str, rest: Value) -> Value {
    let group = if kind.contains("Role") {
        "rbac.authorization.k8s.io/v1"
    } else {
        "v1"
    };
    let mut object = json!({ "apiVersion": group, "kind": kind, "metadata": { "name": name } });
    if let (Some(object), Value::Object(rest)) = (object.as_object_mut(), rest) {
        object.extend(rest);
    }
    object
}

#[tokio::test]
async fn whoever_takes_over_an_agent_or_an_operator_gets_no_further() -> Result<()> {
    let (_turn, project) = turn().await?;
    let client = project.testbed.client().await?;
    let account =
        |node: &str| format!("/api/v1/namespaces/kilonova-node-{node}/serviceaccounts/node/token");
    let (home, away) = ((AGENT, Some("n1")), (AGENT, None));
    let speaks = |node: &str| {
        format!("/api/v1/namespaces/kilonova-node-{node}/serviceaccounts/metadata/token")
    };
    let (speaker, nobodys) = ((METADATA, Some("n1")), (METADATA, None));
    let operator = (OPERATOR, None);
    let secrets = |namespace: &str| format!("/api/v1/namespaces/{namespace}/secrets");
    let seed = object("Secret", "some", json!({ "type": "kilonova.dev/seed" }));
    let mut key = object(
        "Secret",
        "some",
        json!({ "type": "kubernetes.io/service-account-token" }),
    );
    key["metadata"]["annotations"] = json!({ "kubernetes.io/service-account.name": "default" });
    let role = json!({ "roleRef": {
        "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "kilonova-agent",
    }});
    let binding = |kind| object(kind, "some", role.clone());
    let (own, life) = (
        "may only get the token of its own node",
        "lives an hour at most",
    );
    let nodes = "for nodes only";
    let in_system =
        |kind: &str| format!("/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/{kind}");

    for (who, path, object, refusal) in [
        (home, account("n1"), token(Some("n1"), 3600), None),
        (home, account("n2"), token(Some("n1"), 3600), Some(own)),
        (away, account("n1"), token(Some("n1"), 3600), Some(own)),
        (home, account("n1"), token(Some("n2"), 3600), Some(life)),
        (home, account("n1"), token(Some("n1"), 3601), Some(life)),
        (home, account("n1"), token(None, 3600), Some(life)),
        // The metadata service is let in by the same rules, as another account.
        (speaker, speaks("n1"), token(Some("n1"), 3600), None),
        (speaker, speaks("n2"), token(Some("n1"), 3600), Some(own)),
        (nobodys, speaks("n1"), token(Some("n1"), 3600), Some(own)),
        (speaker, speaks("n1"), token(Some("n2"), 3600), Some(life)),
        (speaker, speaks("n1"), token(Some("n1"), 3601), Some(life)),
        (operator, secrets("kilonova-node-n1"), seed.clone(), None),
        (operator, secrets("kube-system"), seed, Some(nodes)),
        (
            operator,
            secrets("kilonova-node-n1"),
            key.clone(),
            Some("but seeds"),
        ),
        (operator, secrets("kube-system"), key, Some(nodes)),
        (
            operator,
            "/api/v1/namespaces".to_owned(),
            object("Namespace", "kilonova-node-n9", json!({})),
            None,
        ),
        (
            operator,
            "/api/v1/namespaces".to_owned(),
            object("Namespace", "some", json!({})),
            Some(nodes),
        ),
        (
            operator,
            in_system("rolebindings"),
            binding("RoleBinding"),
            Some(nodes),
        ),
        (
            operator,
            in_system("roles"),
            object("Role", "some", json!({})),
            Some(nodes),
        ),
        (
            operator,
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings".to_owned(),
            binding("ClusterRoleBinding"),
            Some(nodes),
        ),
    ] {
        is_told(&client, who, &path, &object, refusal).await?;
    }
    Ok(())
}

/// Whether somebody may make something, or by which words of a policy he may not, is as it should be.
async fn is_told(
    client: &Client,
    who: (&str, Option<&str>),
    path: &str,
    object: &Value,
    refusal: Option<&str>,
) -> Result<()> {
    let said = make(client, who, path, object).await?;
    let as_it_should = match (&said, refusal) {
        (None, None) => true,
        (Some(said), Some(words)) => {
            said.contains("ValidatingAdmissionPolicy") && said.contains(words)
        }
        _ => false,
    };
    ensure!(
        as_it_should,
        "{who:?} made {object} at {path}, and was told {said:?}"
    );
    Ok(())
}

#[tokio::test]
async fn an_operator_certifies_those_only_who_have_a_part_in_ovn() -> Result<()> {
    let (_turn, project) = turn().await?;
    let client = project.testbed.client().await?;
    let node = "kilonova-node-n1";
    for (namespace, name, refusal) in [
        (node, "some", Some("but seeds")),
        ("kilonova-system", "some", Some("for nodes only")),
        ("kube-system", "kilonova-ovn-ca", Some("for nodes only")),
    ] {
        let certificate = object(
            "Secret",
            name,
            json!({ "type": "kilonova.dev/certificate" }),
        );
        let path = format!("/api/v1/namespaces/{namespace}/secrets");
        is_told(&client, (OPERATOR, None), &path, &certificate, refusal).await?;
    }
    Ok(())
}

/// Whether somebody may send such a request. That there is no such object is an answer, too.
async fn may(client: &Client, user: &str, verb: &str, path: &str) -> Result<bool> {
    let request = Request::builder()
        .method(verb)
        .uri(path)
        .header("Content-Type", "application/merge-patch+json")
        .header("Impersonate-User", user)
        .body(b"{}".to_vec())?;
    match client.request::<Value>(request).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) => Ok(status.code != 403),
        Err(error) => Err(error).context(path.to_owned()),
    }
}

/// What answers guests reads what its own node's guests are told, and nothing else; it writes nothing.
#[tokio::test]
async fn whoever_takes_over_a_metadata_service_learns_of_its_node_only() -> Result<()> {
    let (_turn, project) = turn().await?;
    let client = project.testbed.client().await?;
    project.secret("data", "key", b"a tenant's").await?;
    let own = "system:serviceaccount:kilonova-node-n1:metadata";
    let kinds = "/apis/kilonova.dev/v1alpha1";
    let guests = |node: &str| format!("{kinds}/namespaces/kilonova-node-{node}/guests");
    let secrets = |namespace: &str| format!("/api/v1/namespaces/{namespace}/secrets");
    let one = |path: String| format!("{path}/some");
    let token = |account: &str| {
        format!("/api/v1/namespaces/kilonova-node-n1/serviceaccounts/{account}/token?dryRun=All")
    };
    let may_do = [
        ("GET", guests("n1")),
        ("GET", one(secrets("kilonova-node-n1"))),
    ];
    let may_not = [
        // Other nodes' guests and seeds, and what tenants and the system keep.
        ("GET", guests("n2")),
        ("GET", format!("{kinds}/guests")),
        ("GET", one(secrets("kilonova-node-n2"))),
        ("GET", secrets("kilonova-node-n1")),
        ("GET", format!("{}/data", secrets(&project.name))),
        ("GET", secrets("kilonova-system")),
        ("GET", "/api/v1/secrets".to_owned()),
        ("GET", format!("{kinds}/servers")),
        ("GET", format!("{kinds}/ports")),
        ("GET", format!("{kinds}/hypervisors/n1")),
        ("GET", "/api/v1/nodes/n1".to_owned()),
        // Whatever would change anything, or make it somebody else.
        ("PATCH", one(guests("n1"))),
        ("PATCH", format!("{}/status", one(guests("n1")))),
        ("DELETE", one(guests("n1"))),
        ("PATCH", one(secrets("kilonova-node-n1"))),
        ("POST", token("node")),
        ("POST", token("metadata")),
    ];
    for (all, allowed) in [(&may_do[..], true), (&may_not[..], false)] {
        for (verb, path) in all {
            let may = may(&client, own, verb, path).await?;
            ensure!(may == allowed, "{verb} {path}: {may}");
        }
    }
    // As its pod, before it is its node's, it may become that and nobody else, and reads nothing.
    for (verb, path) in [
        ("POST", token("node")),
        ("GET", guests("n1")),
        ("GET", one(secrets("kilonova-node-n1"))),
    ] {
        ensure!(!may(&client, METADATA, verb, &path).await?, "{verb} {path}");
    }
    Ok(())
}

#[tokio::test]
async fn nobody_makes_the_namespace_of_a_node_in_advance() -> Result<()> {
    let (_turn, project) = turn().await?;
    let client = project.testbed.client().await?;
    // Somebody who may make namespaces, as tenants may in some clusters.
    let tenant = format!("tenant-of-{}", project.name);
    let right = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": { "name": tenant },
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin",
        },
        "subjects": [{ "kind": "User", "name": tenant }],
    });
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    let right = serde_json::from_value(right)?;
    bindings.create(&PostParams::default(), &right).await?;
    let who = (tenant.as_str(), None);
    let namespaces = "/api/v1/namespaces";
    let namespace = |name: &str| object("Namespace", name, json!({}));
    let allowed = wait_for("the tenant to have the right", SOON, async || {
        let said = make(&client, who, namespaces, &namespace("some")).await?;
        Ok(Seen::when(said.is_none(), format!("{said:?}")))
    })
    .await;
    let said = make(&client, who, namespaces, &namespace("kilonova-node-n9")).await;
    bindings.delete(&tenant, &DeleteParams::default()).await?;
    allowed?;
    let words = "made by Kilonova's operator only";
    let said = said?.unwrap_or_default();
    ensure!(said.contains(words), "{said:?}");
    Ok(())
}
