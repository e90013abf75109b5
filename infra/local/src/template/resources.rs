//! The resources of a template, each read as its type demands.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value, json};

use super::TemplateError;
use super::intrinsics::{Referent, Scope, Values, plain, to_json};
use super::model::{Cors, Function, HttpApi, HttpRoute, Route, Schedule, Table, Template, WebSocketApi};

/// API Gateway's default and longest wait for an integration of a WebSocket API.
const INTEGRATION_TIMEOUT_MS: u64 = 29_000;

pub(super) fn read(text: &str, folder: &Path, values: &Values) -> Result<Template, TemplateError> {
    let document = to_json(serde_norway::from_str(text)?).map_err(TemplateError::Other)?;
    let document: Document =
        serde_json::from_value(document).map_err(|error| TemplateError::Other(error.to_string()))?;
    Reader::new(&document, folder, values)?.template()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Document {
    #[serde(rename = "AWSTemplateFormatVersion")]
    _version: Option<IgnoredAny>,
    #[serde(rename = "Transform")]
    _transform: Option<IgnoredAny>,
    #[serde(rename = "Description")]
    _description: Option<IgnoredAny>,
    #[serde(rename = "Metadata")]
    _metadata: Option<IgnoredAny>,
    #[serde(default)]
    parameters: BTreeMap<String, Parameter>,
    #[serde(default)]
    globals: BTreeMap<String, Map<String, Value>>,
    resources: BTreeMap<String, Resource>,
    #[serde(rename = "Outputs")]
    _outputs: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    default: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Resource {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(default)]
    properties: Map<String, Value>,
    #[serde(default)]
    metadata: Map<String, Value>,
    #[serde(rename = "DependsOn")]
    _depends_on: Option<IgnoredAny>,
    #[serde(rename = "DeletionPolicy")]
    _deletion_policy: Option<IgnoredAny>,
    #[serde(rename = "UpdateReplacePolicy")]
    _update_replace_policy: Option<IgnoredAny>,
}

const FUNCTION: &str = "AWS::Serverless::Function";
const HTTP_API: &str = "AWS::Serverless::HttpApi";
const API: &str = "AWS::ApiGatewayV2::Api";
const AUTHORIZER: &str = "AWS::ApiGatewayV2::Authorizer";
const INTEGRATION: &str = "AWS::ApiGatewayV2::Integration";
const ROUTE: &str = "AWS::ApiGatewayV2::Route";
const ROUTE_RESPONSE: &str = "AWS::ApiGatewayV2::RouteResponse";
const STAGE: &str = "AWS::ApiGatewayV2::Stage";
const TABLE: &str = "AWS::DynamoDB::Table";
/// Every function may be invoked here.
const PERMISSION: &str = "AWS::Lambda::Permission";

struct Reader<'a> {
    document: &'a Document,
    folder: &'a Path,
    scope: Scope<'a>,
}

impl<'a> Reader<'a> {
    fn new(document: &'a Document, folder: &'a Path, values: &'a Values) -> Result<Self, TemplateError> {
        let parameters = document.parameters.iter();
        let parameters = parameters
            .map(|(name, parameter)| (name.clone(), parameter.default.clone().unwrap_or(Value::Null)))
            .collect();
        let mut reader =
            Self { document, folder, scope: Scope { values, parameters, resources: BTreeMap::new() } };
        for (id, resource) in &document.resources {
            let referent = reader.referent(id, resource)?;
            reader.scope.resources.insert(id.clone(), referent);
        }
        Ok(reader)
    }

    /// What others see of a resource: named by the template, or else after its logical id, as CloudFormation
    /// does.
    fn referent(&self, id: &str, resource: &Resource) -> Result<Referent, TemplateError> {
        let named = |property: &str, default: &str| match resource.properties.get(property) {
            None => Ok(default.to_owned()),
            Some(name) => {
                self.scope.resolve(name).map(|name| plain(&name)).map_err(|reason| refused(id, reason))
            }
        };
        let physical_id = match resource.kind.as_str() {
            FUNCTION => named("FunctionName", binary(id, resource)?)?,
            TABLE => named("TableName", id)?,
            STAGE => named("StageName", id)?,
            // Like the ones that API Gateway gives out: lower case, and part of a host name.
            API | HTTP_API => id.to_lowercase(),
            AUTHORIZER | INTEGRATION | ROUTE | ROUTE_RESPONSE | PERMISSION => id.to_owned(),
            other => return Err(refused(id, format!("the type {other} is not supported here"))),
        };
        let values = self.scope.values;
        let attributes = match resource.kind.as_str() {
            FUNCTION => BTreeMap::from([("Arn", values.function_arn(&physical_id))]),
            TABLE => BTreeMap::from([(
                "Arn",
                format!("arn:aws:dynamodb:{}:{}:table/{physical_id}", values.region, values.account),
            )]),
            _ => BTreeMap::new(),
        };
        Ok(Referent { physical_id, attributes })
    }

    fn template(&self) -> Result<Template, TemplateError> {
        if let Some(other) = self.document.globals.keys().find(|section| *section != "Function") {
            return Err(TemplateError::Other(format!("Globals: the section {other} is not supported here")));
        }
        let functions = self
            .of_type(FUNCTION)
            .map(|(id, resource)| self.function(id, resource))
            .collect::<Result<_, _>>()?;
        let tables =
            self.of_type(TABLE).map(|(id, resource)| self.table(id, resource)).collect::<Result<_, _>>()?;
        let schedules = self.events()?.into_iter().filter_map(Event::schedule).collect();
        Ok(Template { functions, websocket: self.websocket()?, http: self.http()?, tables, schedules })
    }

    fn of_type(&self, kind: &'static str) -> impl Iterator<Item = (&'a str, &'a Resource)> {
        let resources = self.document.resources.iter().map(|(id, resource)| (id.as_str(), resource));
        resources.filter(move |(_, resource)| resource.kind == kind)
    }

    /// At most one, since there is one address to serve it at.
    fn only(&self, kind: &'static str) -> Result<Option<(&'a str, &'a Resource)>, TemplateError> {
        let mut found = self.of_type(kind);
        let first = found.next();
        match found.next() {
            Some((id, _)) => Err(refused(id, format!("only one {kind} is supported here"))),
            None => Ok(first),
        }
    }

    /// The properties as a `T`; those that mean nothing on this machine are left out by name.
    fn properties<T: DeserializeOwned>(
        &self,
        id: &str,
        properties: &Map<String, Value>,
        meaningless: &[&str],
    ) -> Result<T, TemplateError> {
        let meaningful: Map<_, _> = properties
            .iter()
            .filter(|(name, _)| !meaningless.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let resolved =
            self.scope.resolve(&Value::Object(meaningful)).map_err(|reason| refused(id, reason))?;
        serde_json::from_value(resolved).map_err(|error| refused(id, error.to_string()))
    }

    fn function(&self, id: &str, resource: &Resource) -> Result<Function, TemplateError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct Properties {
            runtime: String,
            code_uri: String,
            #[serde(default = "default_timeout")]
            timeout: u64,
            #[serde(default = "default_memory")]
            memory_size: u32,
        }
        fn default_timeout() -> u64 {
            3
        }
        fn default_memory() -> u32 {
            128
        }
        let mut all = self.document.globals.get("Function").cloned().unwrap_or_default();
        all.extend(resource.properties.clone());
        let meaningless =
            ["FunctionName", "Description", "Handler", "Architectures", "Policies", "Environment", "Events"];
        let properties: Properties = self.properties(id, &all, &meaningless)?;
        if properties.runtime != "provided.al2023" {
            return Err(refused(id, format!("the runtime {} is not supported here", properties.runtime)));
        }
        Ok(Function {
            name: self.scope.resources[id].physical_id.clone(),
            binary: binary(id, resource)?.to_owned(),
            code: self.folder.join(properties.code_uri),
            timeout: Duration::from_secs(properties.timeout),
            memory_mb: properties.memory_size,
            environment: self.environment(id, resource)?,
            invoke_at_start: resource.metadata.get("InvokeAtStart") == Some(&Value::Bool(true)),
        })
    }

    /// Merged as SAM does, and overridden by name. An overridden value is not looked at: it may refer to what
    /// only AWS has.
    fn environment(&self, id: &str, resource: &Resource) -> Result<BTreeMap<String, String>, TemplateError> {
        let variables = |properties: Option<&Map<String, Value>>| {
            properties
                .and_then(|properties| properties.get("Environment")?.get("Variables")?.as_object().cloned())
                .unwrap_or_default()
        };
        let mut all = variables(self.document.globals.get("Function"));
        all.extend(variables(Some(&resource.properties)));
        all.into_iter()
            .map(|(name, expression)| match self.scope.values.overrides.get(&name) {
                Some(value) => Ok((name, value.clone())),
                None => match self.scope.resolve(&expression) {
                    Ok(value) => Ok((name, plain(&value))),
                    Err(reason) => Err(refused(id, format!("{name}: {reason}"))),
                },
            })
            .collect()
    }

    fn table(&self, id: &str, resource: &Resource) -> Result<Table, TemplateError> {
        let meaningless =
            ["TimeToLiveSpecification", "PointInTimeRecoverySpecification", "SSESpecification", "Tags"];
        let mut definition: Map<String, Value> = self.properties(id, &resource.properties, &meaningless)?;
        let name = self.scope.resources[id].physical_id.clone();
        definition.insert("TableName".to_owned(), name.clone().into());
        let time_to_live = match resource.properties.get("TimeToLiveSpecification") {
            None => None,
            Some(expression) => {
                let specification = self.scope.resolve(expression).map_err(|reason| refused(id, reason))?;
                Some(json!({ "TableName": name, "TimeToLiveSpecification": specification }))
            }
        };
        Ok(Table { definition: definition.into(), time_to_live })
    }

    fn http(&self) -> Result<Option<HttpApi>, TemplateError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct Properties {
            cors_configuration: Option<Cors>,
        }
        let Some((id, resource)) = self.only(HTTP_API)? else { return Ok(None) };
        let properties: Properties = self.properties(id, &resource.properties, &["Description", "Tags"])?;
        Ok(Some(HttpApi {
            id: self.scope.resources[id].physical_id.clone(),
            routes: self.events()?.into_iter().filter_map(Event::http).collect(),
            cors: properties.cors_configuration,
        }))
    }

    /// What invokes functions besides the WebSocket API, all functions together.
    fn events(&self) -> Result<Vec<Event>, TemplateError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct Declared {
            #[serde(rename = "Type")]
            kind: String,
            #[serde(default)]
            properties: Map<String, Value>,
        }
        let mut found = Vec::new();
        for (id, resource) in self.of_type(FUNCTION) {
            let Some(events) = resource.properties.get("Events") else { continue };
            let events: BTreeMap<String, Declared> = serde_json::from_value(events.clone())
                .map_err(|error| refused(id, format!("Events: {error}")))?;
            for (name, event) in events {
                found.push(match event.kind.as_str() {
                    "HttpApi" => Event::Http(self.http_route(id, &event.properties)?),
                    "Schedule" => Event::Schedule(self.schedule(id, name, &event.properties)?),
                    other => {
                        return Err(refused(
                            id,
                            format!("the event {name} of type {other} is not supported here"),
                        ));
                    }
                });
            }
        }
        Ok(found)
    }

    fn http_route(&self, id: &str, properties: &Map<String, Value>) -> Result<HttpRoute, TemplateError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct Properties {
            method: String,
            path: String,
        }
        let http: Properties = self.properties(id, properties, &["ApiId"])?;
        Ok(HttpRoute {
            method: Some(http.method.to_uppercase()).filter(|method| method != "ANY"),
            path: http.path,
            function: self.scope.resources[id].physical_id.clone(),
        })
    }

    fn schedule(
        &self,
        id: &str,
        name: String,
        properties: &Map<String, Value>,
    ) -> Result<Schedule, TemplateError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct Properties {
            schedule: String,
        }
        let properties: Properties = self.properties(id, properties, &["Description", "Name"])?;
        let every = rate(&properties.schedule).ok_or_else(|| {
            refused(id, format!("the schedule {} is not supported here", properties.schedule))
        })?;
        Ok(Schedule { name, function: self.scope.resources[id].physical_id.clone(), every })
    }

    fn websocket(&self) -> Result<Option<WebSocketApi>, TemplateError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct Api {
            protocol_type: String,
            route_selection_expression: String,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct Stage {
            stage_name: String,
        }
        let Some((id, resource)) = self.only(API)? else {
            return Ok(None);
        };
        let api: Api = self.properties(id, &resource.properties, &["Name", "Description", "Tags"])?;
        if api.protocol_type != "WEBSOCKET" {
            return Err(refused(id, format!("the protocol {} is not supported here", api.protocol_type)));
        }
        let (stage_id, stage) = self.only(STAGE)?.ok_or_else(|| refused(id, "has no stage".to_owned()))?;
        let stage: Stage =
            self.properties(stage_id, &stage.properties, &["ApiId", "AutoDeploy", "Description"])?;

        let routes = self
            .of_type(ROUTE)
            .map(|(id, resource)| self.route(id, resource))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Some(WebSocketApi {
            id: self.scope.resources[id].physical_id.clone(),
            stage: stage.stage_name,
            selection: selection(id, &api.route_selection_expression)?,
            authorizer: routes.iter().find_map(|(_, _, authorizer)| authorizer.clone()),
            routes: routes.into_iter().map(|(key, route, _)| (key, route)).collect(),
        }))
    }

    /// A route: its key, where it leads, and the function that authorizes it.
    fn route(&self, id: &str, resource: &Resource) -> Result<(String, Route, Option<String>), TemplateError> {
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
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct Authorizer {
            authorizer_type: String,
            authorizer_uri: String,
        }

        let route: Properties = self.properties(id, &resource.properties, &["ApiId", "OperationName"])?;
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
            (Some("CUSTOM"), Some(authorizer)) if route.route_key == "$connect" => {
                let (authorizer_id, authorizer) = self.find(id, AUTHORIZER, &authorizer)?;
                let authorizer: Authorizer =
                    self.properties(authorizer_id, &authorizer.properties, &["ApiId", "Name"])?;
                if authorizer.authorizer_type != "REQUEST" {
                    let reason =
                        format!("the authorizer type {} is not supported here", authorizer.authorizer_type);
                    return Err(refused(authorizer_id, reason));
                }
                Some(self.function_at(authorizer_id, &authorizer.authorizer_uri)?)
            }
            (Some(kind), _) => {
                return Err(refused(id, format!("the authorization type {kind} is not supported here")));
            }
        };
        // API Gateway answers only if the route asks for it and the response is declared too.
        let wanted = route.route_response_selection_expression.as_deref() == Some("$default");
        let responds = wanted && self.has_response(id)?;
        let timeout = Duration::from_millis(integration.timeout_in_millis.unwrap_or(INTEGRATION_TIMEOUT_MS));
        let function = self.function_at(integration_id, &integration.integration_uri)?;
        Ok((route.route_key, Route { function, responds, timeout }, authorizer))
    }

    /// Whether the route has a route response.
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

    fn function_at(&self, id: &str, uri: &str) -> Result<String, TemplateError> {
        let name = self.scope.values.function_of(uri);
        let known =
            |name: &&str| self.of_type(FUNCTION).any(|(id, _)| self.scope.resources[id].physical_id == *name);
        name.filter(known)
            .map(str::to_owned)
            .ok_or_else(|| refused(id, format!("{uri} leads to no function")))
    }
}

/// What invokes a function.
enum Event {
    Http(HttpRoute),
    Schedule(Schedule),
}

impl Event {
    fn http(self) -> Option<HttpRoute> {
        match self {
            Self::Http(route) => Some(route),
            Self::Schedule(_) => None,
        }
    }

    fn schedule(self) -> Option<Schedule> {
        match self {
            Self::Schedule(schedule) => Some(schedule),
            Self::Http(_) => None,
        }
    }
}

/// The time in `rate(5 minutes)`.
fn rate(expression: &str) -> Option<Duration> {
    let (value, unit) = expression.strip_prefix("rate(")?.strip_suffix(')')?.split_once(' ')?;
    let seconds = match unit.trim_end_matches('s') {
        "minute" => 60,
        "hour" => 60 * 60,
        "day" => 24 * 60 * 60,
        _ => return None,
    };
    let value: u32 = value.parse().ok().filter(|value| *value > 0)?;
    Some(Duration::from_secs(seconds) * value)
}

/// The path in `$request.body.a.b`. The other forms of a selection expression are not supported.
fn selection(id: &str, expression: &str) -> Result<Vec<String>, TemplateError> {
    let path = expression
        .strip_prefix("$request.body.")
        .filter(|path| path.chars().all(|c| c.is_alphanumeric() || c == '.' || c == '_'));
    match path {
        Some(path) => Ok(path.split('.').map(str::to_owned).collect()),
        None => {
            Err(refused(id, format!("the route selection expression {expression} is not supported here")))
        }
    }
}

/// The binary that a function is built from.
fn binary<'a>(id: &str, resource: &'a Resource) -> Result<&'a str, TemplateError> {
    if resource.metadata.get("BuildMethod").and_then(Value::as_str) != Some("rust-cargolambda") {
        return Err(refused(
            id,
            "only functions with the BuildMethod rust-cargolambda are supported here".to_owned(),
        ));
    }
    let binary = resource.metadata.get("BuildProperties").and_then(|properties| properties.get("Binary"));
    binary
        .and_then(Value::as_str)
        .ok_or_else(|| refused(id, "Metadata.BuildProperties.Binary does not name the binary".to_owned()))
}

fn refused(logical_id: &str, reason: String) -> TemplateError {
    TemplateError::Resource { logical_id: logical_id.to_owned(), reason }
}
