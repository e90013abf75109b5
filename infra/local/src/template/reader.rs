//! Reads the resources of a document: their properties, resolved, and how they refer to each other.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::document::{
    API, AUTHORIZER, Document, FUNCTION, HTTP_API, INTEGRATION, ROUTE, ROUTE_RESPONSE, Resource, STAGE,
    TABLE, WEBSOCKET_API, refused,
};
use super::error::TemplateError;
use super::intrinsics::{Referent, Scope, Values, plain};
use super::sam::{DEFAULT_STAGE, route_id, stage_id};

/// Resources that are ignored: they are about deployments, permissions, names and monitoring on AWS.
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

/// A document whose conditions and references are known.
pub(super) struct Reader<'a> {
    pub(super) document: &'a Document,
    /// The resources whose conditions hold.
    resources: BTreeMap<&'a str, &'a Resource>,
    pub(super) folder: &'a Path,
    pub(super) scope: Scope<'a>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        document: &'a Document,
        resources: &'a BTreeMap<String, Resource>,
        folder: &'a Path,
        values: &'a Values,
    ) -> Result<Self, TemplateError> {
        if let Some(unknown) = values.parameters.keys().find(|name| !document.parameters.contains_key(*name))
        {
            return Err(TemplateError::NoParameter(unknown.clone()));
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

    /// The values of a resource that expressions can refer to. It is named by the template, or else after its
    /// logical id, as by CloudFormation.
    fn referent(&self, id: &str, resource: &Resource) -> Result<Referent, TemplateError> {
        let physical_id = match resource.kind.as_str() {
            FUNCTION => self.named(id, resource, "FunctionName", resource.binary(id)?)?,
            TABLE => self.named(id, resource, "TableName", id)?,
            STAGE => self.named(id, resource, "StageName", id)?,
            // As API Gateway makes them: in lower case, since they are part of a host name.
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

    /// The resources that SAM generates from a resource.
    fn generated(&self, id: &str, resource: &Resource) -> Result<BTreeMap<String, Referent>, TemplateError> {
        let named = |logical_id: String, physical_id: String| {
            (logical_id, Referent { physical_id, attributes: BTreeMap::new() })
        };
        if resource.kind != WEBSOCKET_API {
            return Ok(BTreeMap::new());
        }
        let stage = self.named(id, resource, "StageName", DEFAULT_STAGE)?;
        let routes = resource.properties.get("Routes").and_then(Value::as_object);
        let routes = routes.into_iter().flatten().map(|(key, _)| {
            let route = route_id(id, key);
            named(route.clone(), route)
        });
        Ok(routes.chain([named(stage_id(id, &stage), stage)]).collect())
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

    pub(super) fn of_type(&self, kind: &'static str) -> impl Iterator<Item = (&'a str, &'a Resource)> {
        let resources = self.resources.iter().map(|(id, resource)| (*id, *resource));
        resources.filter(move |(_, resource)| resource.kind == kind)
    }

    /// The properties as a `T`. The `meaningless` ones are ignored.
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
        serde_json::from_value(resolved).map_err(|error| refused(id, error))
    }

    pub(super) fn physical_id(&self, id: &str) -> String {
        self.scope.resources[id].physical_id.clone()
    }

    /// The name of the function that an ARN, or a URI with an ARN, refers to.
    pub(super) fn function_at(&self, id: &str, uri: &str) -> Result<String, TemplateError> {
        let name = self.scope.values.function_of(uri);
        let known = |name: &&str| self.of_type(FUNCTION).any(|(id, _)| self.physical_id(id) == *name);
        name.filter(known)
            .map(str::to_owned)
            .ok_or_else(|| refused(id, format!("{uri} leads to no function")))
    }
}
