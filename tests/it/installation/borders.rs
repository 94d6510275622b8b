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
