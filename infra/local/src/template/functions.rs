//! Functions, schedules and tables.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::document::{FUNCTION, Resource, refused};
use super::error::TemplateError;
use super::intrinsics::plain;
use super::model::{Function, Schedule, Table};
use super::reader::Reader;

/// The default number of concurrent events of a Managed Instance with one processor (Lambda developer guide,
/// Rust runtime for Managed Instances).
const DEFAULT_CONCURRENCY: u16 = 8;

/// The properties of a table that CreateTable takes.
const TABLE_PROPERTIES: [&str; 7] = [
    "AttributeDefinitions",
    "BillingMode",
    "GlobalSecondaryIndexes",
    "KeySchema",
    "LocalSecondaryIndexes",
    "ProvisionedThroughput",
    "TableName",
];

/// An event source of a function, other than a WebSocket API.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Event {
    #[serde(rename = "Type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) properties: Map<String, Value>,
}

impl<'a> Reader<'a> {
    pub(super) fn function(&self, id: &str, resource: &Resource) -> Result<Function, TemplateError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct Properties {
            runtime: String,
            code_uri: String,
            #[serde(default = "default_timeout")]
            timeout: u64,
            #[serde(default = "default_memory")]
            memory_size: u32,
            capacity_provider_config: Option<CapacityProvider>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct CapacityProvider {
            #[serde(rename = "Arn")]
            _arn: IgnoredAny,
            per_execution_environment_max_concurrency: Option<u16>,
        }
        fn default_timeout() -> u64 {
            3
        }
        fn default_memory() -> u32 {
            128
        }
        let mut all = self.document.globals.get("Function").cloned().unwrap_or_default();
        all.extend(resource.properties.clone());
        let meaningless = [
            "FunctionName",
            "Description",
            "Handler",
            "Architectures",
            "Policies",
            "Environment",
            "Events",
            // What matters on AWS only: permissions, networks, logs and limits.
            "DeadLetterQueue",
            "EventInvokeConfig",
            "KmsKeyArn",
            "LoggingConfig",
            "PermissionsBoundary",
            "PropagateTags",
            "ReservedConcurrentExecutions",
            "Role",
            "Tags",
            "Tracing",
            "VpcConfig",
        ];
        let properties: Properties = self.properties(id, &all, &meaningless)?;
        if properties.runtime != "provided.al2023" {
            return Err(refused(id, format!("the runtime {} is not supported here", properties.runtime)));
        }
        let concurrency = properties.capacity_provider_config.map(|provider| {
            provider.per_execution_environment_max_concurrency.unwrap_or(DEFAULT_CONCURRENCY)
        });
        Ok(Function {
            name: self.physical_id(id),
            binary: resource.binary(id)?.to_owned(),
            code: self.folder.join(properties.code_uri),
            timeout: Duration::from_secs(properties.timeout),
            memory_mb: properties.memory_size,
            environment: self.environment(id, resource)?,
            concurrency,
            invoke_at_start: resource.metadata.get("InvokeAtStart") == Some(&Value::Bool(true)),
        })
    }

    /// Globals and properties are merged as by SAM. An overridden variable is not resolved: it may refer to
    /// something that exists on AWS only.
    fn environment(&self, id: &str, resource: &Resource) -> Result<BTreeMap<String, String>, TemplateError> {
        let variables = |properties: Option<&Map<String, Value>>| {
            properties
                .and_then(|properties| properties.get("Environment")?.get("Variables")?.as_object().cloned())
                .unwrap_or_default()
        };
        let mut all = variables(self.document.globals.get("Function"));
        all.extend(variables(Some(&resource.properties)));
        all.into_iter()
            .filter_map(|(name, expression)| match self.scope.values.overrides.get(&name) {
                Some(value) => Some(Ok((name, value.clone()))),
                None => match self.scope.resolve_if_any(&expression) {
                    Ok(value) => Some(Ok((name, plain(&value?)))),
                    Err(reason) => Some(Err(refused(id, format!("{name}: {reason}")))),
                },
            })
            .collect()
    }

    /// The event sources of functions: logical id of the function, name, and event.
    pub(super) fn events(&self) -> Result<Vec<(&'a str, String, Event)>, TemplateError> {
        let mut found = Vec::new();
        for (id, resource) in self.of_type(FUNCTION) {
            let Some(events) = resource.properties.get("Events") else { continue };
            let events: BTreeMap<String, Event> = serde_json::from_value(events.clone())
                .map_err(|error| refused(id, format!("Events: {error}")))?;
            for (name, event) in events {
                if !matches!(event.kind.as_str(), "HttpApi" | "Schedule") {
                    let reason = format!("the event {name} of type {} is not supported here", event.kind);
                    return Err(refused(id, reason));
                }
                found.push((id, name, event));
            }
        }
        Ok(found)
    }

    pub(super) fn schedules(&self) -> Result<Vec<Schedule>, TemplateError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct Properties {
            schedule: String,
        }
        let mut schedules = Vec::new();
        for (id, name, event) in self.events()?.into_iter().filter(|(_, _, event)| event.kind == "Schedule") {
            let properties: Properties = self.properties(
                id,
                &event.properties,
                // A schedule that is disabled runs here all the same: whether it is may depend on parameters
                // for which the environment of this process has variables.
                &["DeadLetterConfig", "Description", "Name", "RetryPolicy", "State"],
            )?;
            let every = rate(&properties.schedule).ok_or_else(|| {
                refused(id, format!("the schedule {} is not supported here", properties.schedule))
            })?;
            schedules.push(Schedule { name, function: self.physical_id(id), every });
        }
        Ok(schedules)
    }

    pub(super) fn table(&self, id: &str, resource: &Resource) -> Result<Table, TemplateError> {
        let meaningless =
            ["TimeToLiveSpecification", "PointInTimeRecoverySpecification", "SSESpecification", "Tags"];
        let mut definition: Map<String, Value> = self.properties(id, &resource.properties, &meaningless)?;
        if let Some(unknown) = definition.keys().find(|name| !TABLE_PROPERTIES.contains(&name.as_str())) {
            return Err(refused(id, format!("the property {unknown} is not supported here")));
        }
        let name = self.physical_id(id);
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
