//! The HTTP API: `AWS::Serverless::HttpApi` and the functions' `HttpApi` events.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::document::{HTTP_API, RouteSettings, integration_timeout, refused};
use super::error::TemplateError;
use super::functions::Event;
use super::intrinsics::plain;
use super::model::{Authorizer, Cors, HttpApi, HttpAuthorizer, HttpRoute, IdentitySource};
use super::reader::Reader;

/// The logical id of the API that SAM generates for events without an `ApiId`.
const IMPLICIT_API: &str = "ServerlessHttpApi";

/// The default and maximum timeout of an integration of an HTTP API.
const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(30);

/// The name by which an event opts out of the default authorizer.
const NO_AUTHORIZER: &str = "NONE";

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Api {
    cors_configuration: Option<Cors>,
    #[serde(default)]
    auth: Auth,
    #[serde(default)]
    default_route_settings: RouteSettings,
    #[serde(default)]
    route_settings: BTreeMap<String, RouteSettings>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Auth {
    default_authorizer: Option<String>,
    #[serde(default)]
    authorizers: BTreeMap<String, LambdaAuthorizer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct LambdaAuthorizer {
    function_arn: String,
    authorizer_payload_format_version: Value,
    #[serde(default)]
    enable_simple_responses: bool,
    /// Ignored: permissions.
    #[serde(rename = "EnableFunctionDefaultPermissions")]
    _enable_function_default_permissions: Option<IgnoredAny>,
    #[serde(default)]
    identity: Identity,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Identity {
    #[serde(default)]
    headers: Vec<String>,
    #[serde(default)]
    query_strings: Vec<String>,
    /// In seconds.
    #[serde(default)]
    reauthorize_every: u64,
}

impl Reader<'_> {
    pub(super) fn http(&self) -> Result<Option<HttpApi>, TemplateError> {
        let mut declared = self.of_type(HTTP_API);
        let found = declared.next();
        if let Some((id, _)) = declared.next() {
            return Err(refused(id, format!("only one {HTTP_API} is supported here")));
        }
        let events = self.events()?.into_iter().filter(|(_, _, event)| event.kind == "HttpApi");
        let events: Vec<_> = events.map(|(id, _, event)| (id, event)).collect();
        let (id, api) = match found {
            Some((id, resource)) => {
                let meaningless = ["AccessLogSettings", "Description", "Name", "Tags"];
                (id, self.properties::<Api>(id, &resource.properties, &meaningless)?)
            }
            None if events.is_empty() => return Ok(None),
            None => (IMPLICIT_API, Api::default()),
        };
        let declared = found.map(|(id, _)| self.physical_id(id));
        let routes = events
            .iter()
            .map(|(function, event)| self.http_route(function, event, declared.as_deref(), &api))
            .collect::<Result<Vec<_>, _>>()?;
        let known = |key: &&String| routes.iter().any(|route| route.key() == **key);
        if let Some(unknown) = api.route_settings.keys().find(|key| !known(key)) {
            return Err(refused(id, format!("has settings for {unknown}, which is no route")));
        }
        let authorizers = api.auth.authorizers.into_iter().map(|(name, authorizer)| {
            let authorizer = self.http_authorizer(id, &name, authorizer)?;
            Ok((name, authorizer))
        });
        Ok(Some(HttpApi {
            id: id.to_lowercase(),
            routes,
            authorizers: authorizers.collect::<Result<_, TemplateError>>()?,
            cors: api.cors_configuration,
        }))
    }

    /// A route of the `declared` API, or of the generated one.
    fn http_route(
        &self,
        id: &str,
        event: &Event,
        declared: Option<&str>,
        api: &Api,
    ) -> Result<HttpRoute, TemplateError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct Properties {
            api_id: Option<String>,
            method: String,
            path: String,
            #[serde(default)]
            auth: RouteAuth,
            #[serde(default)]
            route_settings: RouteSettings,
            timeout_in_millis: Option<u64>,
            payload_format_version: Option<String>,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        struct RouteAuth {
            authorizer: Option<String>,
        }
        let http: Properties = self.properties(id, &event.properties, &[])?;
        if http.api_id.as_deref() != declared {
            let said = http.api_id.as_deref().unwrap_or("none, and SAM makes one for it");
            return Err(refused(id, format!("an event is for another API than the one here: {said}")));
        }
        if let Some(version) = http.payload_format_version.filter(|version| version != "2.0") {
            return Err(refused(id, format!("the payload format {version} is not supported here")));
        }
        let authorizer = http.auth.authorizer.or_else(|| api.auth.default_authorizer.clone());
        let authorizer = authorizer.filter(|name| name != NO_AUTHORIZER);
        if let Some(unknown) = authorizer.as_ref().filter(|name| !api.auth.authorizers.contains_key(*name)) {
            return Err(refused(id, format!("the API has no authorizer {unknown}")));
        }
        let mut route = HttpRoute {
            method: Some(http.method.to_uppercase()).filter(|method| method != "ANY"),
            path: http.path,
            function: self.physical_id(id),
            timeout: integration_timeout(id, http.timeout_in_millis, INTEGRATION_TIMEOUT)?,
            authorizer,
            throttle: None,
        };
        let of_route = api.route_settings.get(&route.key()).copied().unwrap_or_default();
        route.throttle = [http.route_settings, of_route, api.default_route_settings]
            .into_iter()
            .find_map(RouteSettings::throttle);
        Ok(route)
    }

    fn http_authorizer(
        &self,
        id: &str,
        name: &str,
        authorizer: LambdaAuthorizer,
    ) -> Result<HttpAuthorizer, TemplateError> {
        // The property is a string, but numbers are common in templates.
        let version = plain(&authorizer.authorizer_payload_format_version);
        if !matches!(version.as_str(), "2.0" | "2") {
            let reason =
                format!("the payload format {version} of the authorizer {name} is not supported here");
            return Err(refused(id, reason));
        }
        let Identity { headers, query_strings, reauthorize_every } = authorizer.identity;
        let headers = headers.into_iter().map(IdentitySource::Header);
        let query_strings = query_strings.into_iter().map(IdentitySource::QueryString);
        let asks = Authorizer {
            function: self.function_at(id, &authorizer.function_arn)?,
            identity: headers.chain(query_strings).collect(),
        };
        let simple = authorizer.enable_simple_responses;
        Ok(HttpAuthorizer { asks, simple, ttl: Duration::from_secs(reauthorize_every) })
    }
}
