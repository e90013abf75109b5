//! The document as a whole: its parameters, its resources, and how they refer to each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Number, Value};

use super::TemplateError;
use super::functions::binary;
use super::intrinsics::{Referent, Scope, Values, plain, to_json};
use super::model::{Template, Throttle};
use super::websocket;

pub(super) fn read(text: &str, folder: &Path, values: &Values) -> Result<Template, TemplateError> {
    let document = to_json(serde_norway::from_str(text)?).map_err(TemplateError::Other)?;
    let document: Document =
        serde_json::from_value(document).map_err(|error| TemplateError::Other(error.to_string()))?;
    let resources = document
        .resources
        .iter()
        .map(|(id, resource)| {
            let resource = serde_json::from_value(resource.clone());
            Ok((id.clone(), resource.map_err(|error| refused(id, error.to_string()))?))
        })
        .collect::<Result<_, TemplateError>>()?;
    Reader::new(&document, &resources, folder, values)?.template()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Document {
    #[serde(rename = "AWSTemplateFormatVersion")]
    _version: Option<IgnoredAny>,
    #[serde(rename = "Transform")]
    _transform: Option<IgnoredAny>,
    #[serde(rename = "Description")]
    _description: Option<IgnoredAny>,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    parameters: BTreeMap<String, Parameter>,
    #[serde(default)]
    conditions: BTreeMap<String, Value>,
    #[serde(default)]
    pub(super) globals: BTreeMap<String, Map<String, Value>>,
    resources: BTreeMap<String, Value>,
    /// About parameters, for who deploys.
    #[serde(rename = "Rules")]
    _rules: Option<IgnoredAny>,
    #[serde(rename = "Outputs")]
    _outputs: Option<IgnoredAny>,
}

/// What CloudFormation does not look at. One of it is ours.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    /// A folder of files that are served beside the APIs on this machine.
    local_pages: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Parameter {
    #[serde(rename = "Type")]
    kind: String,
    default: Option<Value>,
    allowed_values: Option<Vec<Value>>,
    min_value: Option<f64>,
    max_value: Option<f64>,
    /// For people, and for who deploys.
    #[serde(rename = "Description")]
    _description: Option<IgnoredAny>,
    #[serde(rename = "AllowedPattern")]
    _allowed_pattern: Option<IgnoredAny>,
    #[serde(rename = "ConstraintDescription")]
    _constraint_description: Option<IgnoredAny>,
    #[serde(rename = "MinLength")]
    _min_length: Option<IgnoredAny>,
    #[serde(rename = "MaxLength")]
    _max_length: Option<IgnoredAny>,
    #[serde(rename = "NoEcho")]
    _no_echo: Option<IgnoredAny>,
}

impl Parameter {
    /// What it is if it is given as this; `Null` if neither that nor the default says anything.
    fn value(&self, given: Option<&String>) -> Result<Value, String> {
        let text = match (given, &self.default) {
            (Some(given), _) => given.clone(),
            (None, Some(default)) => plain(default),
            (None, None) => return Ok(Value::Null),
        };
        if let Some(allowed) = &self.allowed_values
            && !allowed.iter().any(|allowed| plain(allowed) == text)
        {
            let allowed: Vec<_> = allowed.iter().map(plain).collect();
            return Err(format!("{text} is not one of {}", allowed.join(", ")));
        }
        match self.kind.as_str() {
            "String" => Ok(text.into()),
            "Number" => {
                let number: Number = text.parse().map_err(|_| format!("{text} is not a number"))?;
                let value = number.as_f64().unwrap_or_default();
                match (self.min_value, self.max_value) {
                    (Some(least), _) if value < least => Err(format!("{text} is less than {least}")),
                    (_, Some(most)) if value > most => Err(format!("{text} is more than {most}")),
                    _ => Ok(number.into()),
                }
            }
            "CommaDelimitedList" => Ok(text.split(',').map(|item| item.trim().to_owned()).collect()),
            other => Err(format!("the type {other} is not supported here")),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Resource {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(default)]
    pub(super) properties: Map<String, Value>,
    #[serde(default)]
    pub(super) metadata: Map<String, Value>,
    /// The condition without which it is not there.
    condition: Option<String>,
    #[serde(rename = "DependsOn")]
    _depends_on: Option<IgnoredAny>,
    #[serde(rename = "DeletionPolicy")]
    _deletion_policy: Option<IgnoredAny>,
    #[serde(rename = "UpdateReplacePolicy")]
    _update_replace_policy: Option<IgnoredAny>,
}

pub(super) const FUNCTION: &str = "AWS::Serverless::Function";
pub(super) const HTTP_API: &str = "AWS::Serverless::HttpApi";
pub(super) const WEBSOCKET_API: &str = "AWS::Serverless::WebSocketApi";
pub(super) const API: &str = "AWS::ApiGatewayV2::Api";
pub(super) const AUTHORIZER: &str = "AWS::ApiGatewayV2::Authorizer";
pub(super) const INTEGRATION: &str = "AWS::ApiGatewayV2::Integration";
pub(super) const ROUTE: &str = "AWS::ApiGatewayV2::Route";
pub(super) const ROUTE_RESPONSE: &str = "AWS::ApiGatewayV2::RouteResponse";
pub(super) const STAGE: &str = "AWS::ApiGatewayV2::Stage";
pub(super) const TABLE: &str = "AWS::DynamoDB::Table";

/// What means nothing here: everything is deployed at once, every function may be invoked and do everything,
/// names are local, and people look at the terminal.
const MEANINGLESS: [&str; 17] = [
    "AWS::ApiGateway::Account",
    "AWS::ApiGatewayV2::ApiMapping",
    "AWS::ApiGatewayV2::Deployment",
    "AWS::ApiGatewayV2::DomainName",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Role",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    "AWS::Route53::RecordSet",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::Queue",
    "AWS::SQS::QueuePolicy",
    "AWS::SecretsManager::Secret",
];

pub(super) struct Reader<'a> {
    pub(super) document: &'a Document,
    /// Those whose condition holds.
    resources: BTreeMap<&'a str, &'a Resource>,
    pub(super) folder: &'a Path,
    pub(super) scope: Scope<'a>,
}

impl<'a> Reader<'a> {
    fn new(
        document: &'a Document,
        resources: &'a BTreeMap<String, Resource>,
        folder: &'a Path,
        values: &'a Values,
    ) -> Result<Self, TemplateError> {
        if let Some(unknown) = values.parameters.keys().find(|name| !document.parameters.contains_key(*name))
        {
            return Err(TemplateError::Other(format!("there is no parameter {unknown} to give a value to")));
        }
        let parameters = document.parameters.iter().map(|(name, parameter)| {
            let value =
                parameter.value(values.parameters.get(name)).map_err(|reason| refused(name, reason))?;
            Ok((name.clone(), value))
        });
        let parameters = parameters.collect::<Result<_, TemplateError>>()?;
        let mut scope = Scope { values, parameters, conditions: BTreeMap::new(), resources: BTreeMap::new() };
        let conditions = document.conditions.keys().map(|name| {
            let holds =
                scope.condition(name, &document.conditions).map_err(|reason| refused(name, reason))?;
            Ok((name.clone(), holds))
        });
        scope.conditions = conditions.collect::<Result<_, TemplateError>>()?;
        let mut there = BTreeMap::new();
        for (id, resource) in resources {
            let holds = match &resource.condition {
                None => true,
                Some(name) => *scope
                    .conditions
                    .get(name)
                    .ok_or_else(|| refused(id, format!("there is no condition {name}")))?,
            };
            if holds {
                there.insert(id.as_str(), resource);
            }
        }
        let mut reader = Self { document, resources: there.clone(), folder, scope };
        for (id, resource) in there {
            let referent = reader.referent(id, resource)?;
            let generated = reader.generated(id, resource)?;
            reader.scope.resources.insert(id.to_owned(), referent);
            reader.scope.resources.extend(generated);
        }
        Ok(reader)
    }

    /// What others see of a resource: named by the template, or else after its logical id, as CloudFormation
    /// does.
    fn referent(&self, id: &str, resource: &Resource) -> Result<Referent, TemplateError> {
        let physical_id = match resource.kind.as_str() {
            FUNCTION => self.named(id, resource, "FunctionName", binary(id, resource)?)?,
            TABLE => self.named(id, resource, "TableName", id)?,
            STAGE => self.named(id, resource, "StageName", id)?,
            // Like the ones that API Gateway gives out: lower case, and part of a host name.
            API | HTTP_API | WEBSOCKET_API => id.to_lowercase(),
            AUTHORIZER | INTEGRATION | ROUTE | ROUTE_RESPONSE => id.to_owned(),
            meaningless if MEANINGLESS.contains(&meaningless) => id.to_owned(),
            other => return Err(refused(id, format!("the type {other} is not supported here"))),
        };
        let values = self.scope.values;
        let attributes = match resource.kind.as_str() {
            FUNCTION => BTreeMap::from([("Arn", values.function_arn(&physical_id))]),
            TABLE => BTreeMap::from([(
                "Arn",
                format!("arn:aws:dynamodb:{}:{}:table/{physical_id}", values.region, values.account),
            )]),
            API | HTTP_API | WEBSOCKET_API => BTreeMap::from([
                ("ApiId", physical_id.clone()),
                ("ApiEndpoint", values.endpoint(&physical_id, resource.kind == HTTP_API)),
            ]),
            _ => BTreeMap::new(),
        };
        Ok(Referent { physical_id, attributes })
    }

    /// What SAM makes of a resource besides the resource itself.
    fn generated(&self, id: &str, resource: &Resource) -> Result<BTreeMap<String, Referent>, TemplateError> {
        let named = |logical_id: String, physical_id: String| {
            (logical_id, Referent { physical_id, attributes: BTreeMap::new() })
        };
        if resource.kind != WEBSOCKET_API {
            return Ok(BTreeMap::new());
        }
        let stage = self.named(id, resource, "StageName", websocket::DEFAULT_STAGE)?;
        let routes = resource.properties.get("Routes").and_then(Value::as_object);
        let routes = routes.into_iter().flatten().map(|(key, _)| {
            let route = websocket::route_id(id, key);
            named(route.clone(), route)
        });
        Ok(routes.chain([named(websocket::stage_id(id, &stage), stage)]).collect())
    }

    fn named(
        &self,
        id: &str,
        resource: &Resource,
        property: &str,
        default: &str,
    ) -> Result<String, TemplateError> {
        match resource.properties.get(property) {
            None => Ok(default.to_owned()),
            Some(name) => {
                self.scope.resolve(name).map(|name| plain(&name)).map_err(|reason| refused(id, reason))
            }
        }
    }

    fn template(&self) -> Result<Template, TemplateError> {
        if let Some(other) = self.document.globals.keys().find(|section| *section != "Function") {
            return Err(TemplateError::Other(format!("Globals: the section {other} is not supported here")));
        }
        let mut names = BTreeSet::new();
        if let Some((id, _)) = self.of_type(FUNCTION).find(|(id, _)| !names.insert(self.physical_id(id))) {
            let name = self.physical_id(id);
            return Err(refused(id, format!("another function is called {name}: give it a FunctionName")));
        }
        let functions = self.of_type(FUNCTION).map(|(id, resource)| self.function(id, resource));
        let tables = self.of_type(TABLE).map(|(id, resource)| self.table(id, resource));
        Ok(Template {
            functions: functions.collect::<Result<_, _>>()?,
            tables: tables.collect::<Result<_, _>>()?,
            schedules: self.schedules()?,
            websockets: self.websockets()?,
            http: self.http()?,
            pages: self.document.metadata.local_pages.as_ref().map(|pages| self.folder.join(pages)),
        })
    }

    pub(super) fn of_type(&self, kind: &'static str) -> impl Iterator<Item = (&'a str, &'a Resource)> {
        let resources = self.resources.iter().map(|(id, resource)| (*id, *resource));
        resources.filter(move |(_, resource)| resource.kind == kind)
    }

    /// The properties as a `T`; those that mean nothing on this machine are left out by name.
    pub(super) fn properties<T: DeserializeOwned>(
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

    pub(super) fn physical_id(&self, id: &str) -> String {
        self.scope.resources[id].physical_id.clone()
    }

    /// The function that an ARN, or a URI with one, leads to.
    pub(super) fn function_at(&self, id: &str, uri: &str) -> Result<String, TemplateError> {
        let name = self.scope.values.function_of(uri);
        let known = |name: &&str| self.of_type(FUNCTION).any(|(id, _)| self.physical_id(id) == *name);
        name.filter(known)
            .map(str::to_owned)
            .ok_or_else(|| refused(id, format!("{uri} leads to no function")))
    }
}

/// The settings of a route, or of all that have none of their own. What is not about throttling means nothing
/// here.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct RouteSettings {
    throttling_rate_limit: Option<f64>,
    throttling_burst_limit: Option<f64>,
    #[serde(rename = "DataTraceEnabled")]
    _data_trace_enabled: Option<IgnoredAny>,
    #[serde(rename = "DetailedMetricsEnabled")]
    _detailed_metrics_enabled: Option<IgnoredAny>,
    #[serde(rename = "LoggingLevel")]
    _logging_level: Option<IgnoredAny>,
}

impl RouteSettings {
    /// What is not given is as the account has it.
    pub(super) fn throttle(self) -> Option<Throttle> {
        const ACCOUNT: Throttle = Throttle { rate: 10_000.0, burst: 5_000.0 };
        match self {
            Self { throttling_rate_limit: None, throttling_burst_limit: None, .. } => None,
            Self { throttling_rate_limit: rate, throttling_burst_limit: burst, .. } => {
                Some(Throttle { rate: rate.unwrap_or(ACCOUNT.rate), burst: burst.unwrap_or(ACCOUNT.burst) })
            }
        }
    }
}

/// How long an integration may take: as long as it says, and not longer than API Gateway lets it.
pub(super) fn integration_timeout(
    id: &str,
    millis: Option<u64>,
    longest: Duration,
) -> Result<Duration, TemplateError> {
    match millis.map_or(longest, Duration::from_millis) {
        allowed if allowed <= longest => Ok(allowed),
        _ => Err(refused(id, format!("an integration has {} s at most", longest.as_secs()))),
    }
}

pub(super) fn refused(logical_id: &str, reason: String) -> TemplateError {
    TemplateError::Resource { logical_id: logical_id.to_owned(), reason }
}
