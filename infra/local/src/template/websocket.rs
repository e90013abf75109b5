//! WebSocket APIs, in both notations: `AWS::Serverless::WebSocketApi` and `AWS::ApiGatewayV2::*`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::document::{
    API, AUTHORIZER, INTEGRATION, ROUTE, ROUTE_RESPONSE, Resource, RouteSettings, STAGE, WEBSOCKET_API,
    integration_timeout, refused,
};
use super::error::TemplateError;
use super::intrinsics::plain;
use super::model::{Authorizer, IdentitySource, Route, WebSocketApi};
use super::reader::Reader;
use super::sam::{DEFAULT_STAGE, route_id};
use super::selection::Selection;

/// The default and maximum timeout of an integration of a WebSocket API.
const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(29);

const CONNECT: &str = "$connect";

/// A stage, or the same properties of a serverless API.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Stage {
    #[serde(default)]
    stage_name: Option<String>,
    #[serde(default)]
    stage_variables: BTreeMap<String, String>,
    #[serde(default)]
    default_route_settings: RouteSettings,
    #[serde(default)]
    route_settings: BTreeMap<String, RouteSettings>,
}

impl<'a> Reader<'a> {
    pub(super) fn websockets(&self) -> Result<Vec<WebSocketApi>, TemplateError> {
        let written_out = self.of_type(API).map(|(id, resource)| (id, self.plain_api(id, resource)));
        let serverless =
            self.of_type(WEBSOCKET_API).map(|(id, resource)| (id, self.serverless_api(id, resource)));
        self.belong_to_plain_apis()?;
        let mut stages = BTreeSet::new();
        let mut apis = Vec::new();
        for (id, api) in written_out.chain(serverless) {
            let api = api?;
            // There is one host for all stages, and the stage is the path.
            if !stages.insert(api.stage.clone()) {
                return Err(refused(id, format!("another API has the stage {} here already", api.stage)));
            }
            apis.push(api);
        }
        Ok(apis)
    }

    /// Refuses parts that belong to no API, or to one that SAM generates.
    fn belong_to_plain_apis(&self) -> Result<(), TemplateError> {
        let apis: Vec<_> = self.of_type(API).map(|(id, _)| self.physical_id(id)).collect();
        for kind in [STAGE, ROUTE, INTEGRATION, AUTHORIZER] {
            for (id, resource) in self.of_type(kind) {
                if !apis.contains(&self.api_of(id, resource)?) {
                    return Err(refused(id, format!("belongs to no {API}")));
                }
            }
        }
        Ok(())
    }

    fn serverless_api(&self, id: &str, resource: &Resource) -> Result<WebSocketApi, TemplateError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Properties {
            route_selection_expression: String,
            routes: BTreeMap<String, Declared>,
            auth: Option<Auth>,
            #[serde(flatten)]
            stage: Map<String, Value>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct Declared {
            function_arn: String,
            integration_timeout: Option<u64>,
            route_response_selection_expression: Option<String>,
            #[serde(rename = "OperationName")]
            _operation_name: Option<IgnoredAny>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct Auth {
            auth_type: String,
            auth_arn: Option<String>,
            #[serde(default)]
            identity_source: Vec<String>,
            #[serde(rename = "Name")]
            _name: Option<IgnoredAny>,
        }
        let meaningless =
            ["AccessLogSettings", "Description", "IpAddressType", "Name", "PropagateTags", "Tags"];
        let api: Properties = self.properties(id, &resource.properties, &meaningless)?;
        let stage: Stage = self.properties(id, &api.stage, &[])?;
        let routes = api.routes.into_iter().map(|(key, declared)| {
            if !key.trim_start_matches('$').chars().all(char::is_alphanumeric) {
                return Err(refused(
                    id,
                    format!("SAM takes only letters and digits in a route key, not {key}"),
                ));
            }
            let asks = declared.route_response_selection_expression;
            let route = Route {
                function: self.function_at(id, &declared.function_arn)?,
                responds: asks.as_deref() == Some("$default") && self.has_response(&route_id(id, &key))?,
                timeout: integration_timeout(id, declared.integration_timeout, INTEGRATION_TIMEOUT)?,
                throttle: None,
            };
            Ok((key, route))
        });
        let routes: BTreeMap<_, _> = routes.collect::<Result<_, TemplateError>>()?;
        let authorizer = match api.auth {
            None => None,
            Some(auth) => match (auth.auth_type.as_str(), auth.auth_arn) {
                ("NONE", _) => None,
                ("CUSTOM", Some(arn)) => Some(Authorizer {
                    function: self.function_at(id, &arn)?,
                    identity: identity(id, &auth.identity_source)?,
                }),
                (kind, _) => {
                    return Err(refused(id, format!("the authorization type {kind} is not supported here")));
                }
            },
        };
        if authorizer.is_some() && !routes.contains_key(CONNECT) {
            return Err(refused(id, format!("authorization needs a {CONNECT} route")));
        }
        self.api(id, &api.route_selection_expression, stage, authorizer, routes)
    }

    fn plain_api(&self, id: &str, resource: &Resource) -> Result<WebSocketApi, TemplateError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct Api {
            protocol_type: String,
            route_selection_expression: String,
        }
        let api: Api =
            self.properties(id, &resource.properties, &["Name", "Description", "IpAddressType", "Tags"])?;
        if api.protocol_type != "WEBSOCKET" {
            return Err(refused(id, format!("the protocol {} is not supported here", api.protocol_type)));
        }
        let mut stages = self.parts(STAGE, id)?.into_iter();
        let (stage_id, stage) = stages.next().ok_or_else(|| refused(id, "has no stage"))?;
        if !stage.properties.contains_key("StageName") {
            return Err(refused(stage_id, "has no StageName"));
        }
        if let Some((other, _)) = stages.next() {
            return Err(refused(other, "only one stage of an API is supported here"));
        }
        let meaningless = ["AccessLogSettings", "ApiId", "AutoDeploy", "DeploymentId", "Description", "Tags"];
        let stage: Stage = self.properties(stage_id, &stage.properties, &meaningless)?;
        let mut authorizer = None;
        let mut routes = BTreeMap::new();
        for (route_id, resource) in self.parts(ROUTE, id)? {
            let (key, route, asked) = self.route(route_id, resource)?;
            authorizer = authorizer.or(asked);
            if routes.insert(key.clone(), route).is_some() {
                return Err(refused(route_id, format!("there is a route {key} already")));
            }
        }
        self.api(id, &api.route_selection_expression, stage, authorizer, routes)
    }

    fn api(
        &self,
        id: &str,
        selection: &str,
        stage: Stage,
        authorizer: Option<Authorizer>,
        mut routes: BTreeMap<String, Route>,
    ) -> Result<WebSocketApi, TemplateError> {
        if let Some(unknown) = stage.route_settings.keys().find(|key| !routes.contains_key(*key)) {
            return Err(refused(id, format!("has settings for {unknown}, which is no route")));
        }
        for (key, route) in &mut routes {
            let own = stage.route_settings.get(key).copied().and_then(RouteSettings::throttle);
            route.throttle = own.or_else(|| stage.default_route_settings.throttle());
        }
        let selection = Selection::parse(selection).ok_or_else(|| {
            refused(id, format!("the route selection expression {selection} is not supported here"))
        })?;
        Ok(WebSocketApi {
            id: self.physical_id(id),
            stage: stage.stage_name.unwrap_or_else(|| DEFAULT_STAGE.to_owned()),
            stage_variables: stage.stage_variables,
            selection,
            authorizer,
            routes,
        })
    }

    /// The resources of a type that belong to an API.
    fn parts(&self, kind: &'static str, api: &str) -> Result<Vec<(&'a str, &'a Resource)>, TemplateError> {
        let mut parts = Vec::new();
        for (id, resource) in self.of_type(kind) {
            if self.api_of(id, resource)? == self.physical_id(api) {
                parts.push((id, resource));
            }
        }
        Ok(parts)
    }

    /// The API that a resource belongs to.
    fn api_of(&self, id: &str, resource: &Resource) -> Result<String, TemplateError> {
        let of = resource.properties.get("ApiId").ok_or_else(|| refused(id, "has no ApiId"))?;
        self.scope.resolve(of).map(|of| plain(&of)).map_err(|reason| refused(id, reason))
    }

    /// A route: its key, its function, and its authorizer.
    fn route(
        &self,
        id: &str,
        resource: &Resource,
    ) -> Result<(String, Route, Option<Authorizer>), TemplateError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct Properties {
            route_key: String,
            target: String,
            authorization_type: Option<String>,
            authorizer_id: Option<String>,
            route_response_selection_expression: Option<String>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct Integration {
            integration_type: String,
            integration_uri: String,
            timeout_in_millis: Option<u64>,
        }

        let route: Properties = self.properties(id, &resource.properties, &["ApiId", "OperationName"])?;
        if route.route_key.starts_with('$')
            && !matches!(route.route_key.as_str(), CONNECT | "$disconnect" | "$default")
        {
            return Err(refused(id, format!("{} is no route key", route.route_key)));
        }
        let (integration_id, integration) =
            self.find(id, INTEGRATION, route.target.trim_start_matches("integrations/"))?;
        let integration: Integration =
            self.properties(integration_id, &integration.properties, &["ApiId", "Description"])?;
        if integration.integration_type != "AWS_PROXY" {
            return Err(refused(
                integration_id,
                format!("the integration type {} is not supported here", integration.integration_type),
            ));
        }
        let authorizer = match (route.authorization_type.as_deref(), route.authorizer_id) {
            (None | Some("NONE"), _) => None,
            (Some("CUSTOM"), Some(authorizer)) if route.route_key == CONNECT => {
                Some(self.authorizer(id, &authorizer)?)
            }
            (Some(kind), _) => {
                return Err(refused(id, format!("the authorization type {kind} is not supported here")));
            }
        };
        // API Gateway sends a response only if the route asks for it and has a route response.
        let wanted = route.route_response_selection_expression.as_deref() == Some("$default");
        let leads_to = Route {
            function: self.function_at(integration_id, &integration.integration_uri)?,
            responds: wanted && self.has_response(id)?,
            timeout: integration_timeout(integration_id, integration.timeout_in_millis, INTEGRATION_TIMEOUT)?,
            throttle: None,
        };
        Ok((route.route_key, leads_to, authorizer))
    }

    fn authorizer(&self, route: &str, id: &str) -> Result<Authorizer, TemplateError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct Properties {
            authorizer_type: String,
            authorizer_uri: String,
            #[serde(default)]
            identity_source: Vec<String>,
        }
        let (id, authorizer) = self.find(route, AUTHORIZER, id)?;
        let authorizer: Properties = self.properties(id, &authorizer.properties, &["ApiId", "Name"])?;
        if authorizer.authorizer_type != "REQUEST" {
            let reason = format!("the authorizer type {} is not supported here", authorizer.authorizer_type);
            return Err(refused(id, reason));
        }
        Ok(Authorizer {
            function: self.function_at(id, &authorizer.authorizer_uri)?,
            identity: identity(id, &authorizer.identity_source)?,
        })
    }

    /// Whether a route has a route response.
    fn has_response(&self, route: &str) -> Result<bool, TemplateError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct Properties {
            route_id: String,
            route_response_key: String,
        }
        for (id, resource) in self.of_type(ROUTE_RESPONSE) {
            let response: Properties = self.properties(id, &resource.properties, &["ApiId"])?;
            if response.route_response_key != "$default" {
                return Err(refused(
                    id,
                    format!("the key {} is not supported here", response.route_response_key),
                ));
            }
            if response.route_id == route {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn find(
        &self,
        from: &str,
        kind: &'static str,
        id: &str,
    ) -> Result<(&'a str, &'a Resource), TemplateError> {
        self.of_type(kind)
            .find(|(found, _)| *found == id)
            .ok_or_else(|| refused(from, format!("refers to {id}, which is no {kind}")))
    }
}

/// `route.request.header.NAME` and `route.request.querystring.NAME`.
fn identity(id: &str, sources: &[String]) -> Result<Vec<IdentitySource>, TemplateError> {
    let read = |source: &String| match source.strip_prefix("route.request.")?.split_once('.')? {
        ("header", name) => Some(IdentitySource::Header(name.to_owned())),
        ("querystring", name) => Some(IdentitySource::QueryString(name.to_owned())),
        _ => None,
    };
    sources
        .iter()
        .map(|source| {
            read(source)
                .ok_or_else(|| refused(id, format!("the identity source {source} is not supported here")))
        })
        .collect()
}
