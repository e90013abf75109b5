//! The shape of a document: its sections, its parameters and its resources.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Number, Value};

use super::error::TemplateError;
use super::intrinsics::{plain, to_json};
use super::model::Throttle;

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
    pub(super) metadata: Metadata,
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, Parameter>,
    #[serde(default)]
    pub(super) conditions: BTreeMap<String, Value>,
    #[serde(default)]
    pub(super) globals: BTreeMap<String, Map<String, Value>>,
    resources: BTreeMap<String, Value>,
    /// Checks of parameters at deployment.
    #[serde(rename = "Rules")]
    _rules: Option<IgnoredAny>,
    #[serde(rename = "Outputs")]
    _outputs: Option<IgnoredAny>,
}

/// The section that CloudFormation ignores. One key of it is ours.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Metadata {
    /// A folder of static files.
    pub(super) local_pages: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Parameter {
    #[serde(rename = "Type")]
    kind: String,
    default: Option<Value>,
    allowed_values: Option<Vec<Value>>,
    min_value: Option<f64>,
    max_value: Option<f64>,
    /// Ignored: descriptions, and checks at deployment.
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

/// Why a parameter cannot have a value.
#[derive(Debug, thiserror::Error)]
pub(super) enum ParameterError {
    #[error("{text} is not one of {}", allowed.join(", "))]
    NotAllowed { text: String, allowed: Vec<String> },
    #[error("{0} is not a number")]
    NotANumber(String),
    #[error("{text} is less than {least}")]
    TooSmall { text: String, least: f64 },
    #[error("{text} is more than {most}")]
    TooLarge { text: String, most: f64 },
    #[error("the type {0} is not supported here")]
    Type(String),
}

impl Parameter {
    /// The value of the parameter; `Null` if none is given and there is no default.
    pub(super) fn value(&self, given: Option<&String>) -> Result<Value, ParameterError> {
        let text = match (given, &self.default) {
            (Some(given), _) => given.clone(),
            (None, Some(default)) => plain(default),
            (None, None) => return Ok(Value::Null),
        };
        if let Some(allowed) = &self.allowed_values
            && !allowed.iter().any(|allowed| plain(allowed) == text)
        {
            let allowed = allowed.iter().map(plain).collect();
            return Err(ParameterError::NotAllowed { text, allowed });
        }
        match self.kind.as_str() {
            "String" => Ok(text.into()),
            "Number" => {
                let number: Number = text.parse().map_err(|_| ParameterError::NotANumber(text.clone()))?;
                let value = number.as_f64().unwrap_or_default();
                match (self.min_value, self.max_value) {
                    (Some(least), _) if value < least => Err(ParameterError::TooSmall { text, least }),
                    (_, Some(most)) if value > most => Err(ParameterError::TooLarge { text, most }),
                    _ => Ok(number.into()),
                }
            }
            "CommaDelimitedList" => Ok(text.split(',').map(|item| item.trim().to_owned()).collect()),
            other => Err(ParameterError::Type(other.to_owned())),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Resource {
    #[serde(rename = "Type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) properties: Map<String, Value>,
    #[serde(default)]
    pub(super) metadata: Map<String, Value>,
    /// The resource exists only if this condition holds.
    pub(super) condition: Option<String>,
    #[serde(rename = "DependsOn")]
    _depends_on: Option<IgnoredAny>,
    #[serde(rename = "DeletionPolicy")]
    _deletion_policy: Option<IgnoredAny>,
    #[serde(rename = "UpdateReplacePolicy")]
    _update_replace_policy: Option<IgnoredAny>,
}

impl Document {
    /// Parses a text.
    pub(super) fn parse(text: &str) -> Result<Self, TemplateError> {
        let document = to_json(serde_norway::from_str(text)?)?;
        Ok(serde_json::from_value(document)?)
    }

    /// The resources, by logical id.
    pub(super) fn resources(&self) -> Result<BTreeMap<String, Resource>, TemplateError> {
        let resources = self.resources.iter().map(|(id, resource)| {
            let resource = serde_json::from_value(resource.clone());
            Ok((id.clone(), resource.map_err(|error| refused(id, error))?))
        });
        resources.collect()
    }
}

impl Resource {
    /// The name of the binary of a function.
    pub(super) fn binary(&self, id: &str) -> Result<&str, TemplateError> {
        if self.metadata.get("BuildMethod").and_then(Value::as_str) != Some("rust-cargolambda") {
            return Err(refused(
                id,
                "only functions with the BuildMethod rust-cargolambda are supported here",
            ));
        }
        let binary = self.metadata.get("BuildProperties").and_then(|properties| properties.get("Binary"));
        binary
            .and_then(Value::as_str)
            .ok_or_else(|| refused(id, "Metadata.BuildProperties.Binary does not name the binary"))
    }
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

/// The settings of a route, or the defaults of a stage. Only throttling matters here.
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
    /// A missing limit is that of the account.
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

/// The timeout of an integration, which must not exceed that of API Gateway.
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

pub(super) fn refused(logical_id: &str, reason: impl ToString) -> TemplateError {
    TemplateError::Resource { logical_id: logical_id.to_owned(), reason: reason.to_string() }
}
