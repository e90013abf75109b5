//! CloudFormation's intrinsic functions: `Ref`, `Fn::GetAtt`, `Fn::Sub`, `Fn::Join`, `Fn::If` and those of
//! conditions, in short and long form.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Stand-ins for the values of an AWS account.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    pub(crate) region: String,
    pub(crate) account: String,
    pub(crate) stack_name: String,
    /// The URL of both APIs, as `http://host:port`.
    pub(crate) base_url: String,
    /// Environment variables that override those of the template.
    pub(crate) overrides: BTreeMap<String, String>,
    /// Values of parameters that override the defaults of the template.
    pub(crate) parameters: BTreeMap<String, String>,
}

const URL_SUFFIX: &str = "amazonaws.com";

impl Values {
    /// The ARN of a function.
    pub(crate) fn function_arn(&self, name: &str) -> String {
        format!("arn:aws:lambda:{}:{}:function:{name}", self.region, self.account)
    }

    /// The name of the function in an ARN, or in a URI that contains one.
    pub(crate) fn function_of<'a>(&self, uri: &'a str) -> Option<&'a str> {
        let (_, name) = uri.split_once(&self.function_arn(""))?;
        name.split('/').next()
    }

    /// The host name of an API.
    pub(crate) fn domain(&self, api: &str) -> String {
        format!("{api}.execute-api.{}.{URL_SUFFIX}", self.region)
    }

    /// The endpoint of an API, before `localise` replaces it.
    pub(crate) fn endpoint(&self, api: &str, http: bool) -> String {
        format!("{}://{}", if http { "https" } else { "wss" }, self.domain(api))
    }

    fn pseudo_parameter(&self, name: &str) -> Option<&str> {
        Some(match name {
            "AWS::Region" => &self.region,
            "AWS::AccountId" => &self.account,
            "AWS::StackName" => &self.stack_name,
            "AWS::Partition" => "aws",
            "AWS::URLSuffix" => URL_SUFFIX,
            _ => return None,
        })
    }
}

/// The values of a resource that expressions can refer to.
#[derive(Debug)]
pub(crate) struct Referent {
    /// The value of `Ref`.
    pub(crate) physical_id: String,
    /// The values of `Fn::GetAtt`.
    pub(crate) attributes: BTreeMap<&'static str, String>,
}

/// The names that expressions can refer to.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) values: &'a Values,
    pub(crate) parameters: BTreeMap<String, Value>,
    /// The values of the conditions.
    pub(crate) conditions: BTreeMap<String, bool>,
    pub(crate) resources: BTreeMap<String, Referent>,
}

/// Why an expression has no value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExpressionError {
    #[error("AWS::NoValue stands where there has to be a value")]
    NoValue,
    #[error("{0} is not supported here")]
    Unsupported(String),
    /// A function has other arguments than it takes.
    #[error("{0}")]
    Form(&'static str),
    #[error("there is no condition {0}")]
    NoCondition(String),
    #[error("there is no condition {0} to be made of")]
    NoOtherCondition(String),
    #[error("the parameter {0} has no default, and nothing here gives it a value")]
    NoParameterValue(String),
    #[error("refers to {0}, which is neither a parameter nor a resource")]
    NoReferent(String),
    #[error("refers to the unknown resource {0}")]
    NoResource(String),
    #[error("{resource} has no attribute {attribute} here")]
    NoAttribute { resource: String, attribute: String },
    #[error("{0:?} has a ${{ without an end")]
    Unended(String),
}

/// The pseudo parameter that removes an entry.
const NO_VALUE: &str = "AWS::NoValue";

impl Scope<'_> {
    /// Replaces every intrinsic function in an expression by its value.
    pub(crate) fn resolve(&self, expression: &Value) -> Result<Value, ExpressionError> {
        let chosen = self.chosen(expression)?;
        match chosen.ok_or(ExpressionError::NoValue)? {
            Value::Object(map) => match single(map) {
                Some(("Ref", Value::String(name))) => self.reference(name),
                Some(("Fn::GetAtt", argument)) => self.attribute(argument),
                Some(("Fn::Sub", argument)) => self.substitute(argument).map(Value::String),
                Some(("Fn::Join", argument)) => self.join(argument).map(Value::String),
                Some((name, _)) if name.starts_with("Fn::") => {
                    Err(ExpressionError::Unsupported(name.to_owned()))
                }
                _ => {
                    let mut entries = Map::new();
                    for (key, value) in map {
                        if let Some(value) = self.resolve_if_any(value)? {
                            entries.insert(key.clone(), value);
                        }
                    }
                    Ok(entries.into())
                }
            },
            Value::Array(items) => {
                let items = items.iter().filter_map(|item| self.resolve_if_any(item).transpose());
                items.collect()
            }
            plain => Ok(plain.clone()),
        }
    }

    /// The same; `None` if the result is `AWS::NoValue`.
    pub(crate) fn resolve_if_any(&self, expression: &Value) -> Result<Option<Value>, ExpressionError> {
        self.chosen(expression)?.map(|chosen| self.resolve(chosen)).transpose()
    }

    /// The branch that `Fn::If` selects, or the expression itself; `None` for `AWS::NoValue`.
    fn chosen<'b>(&self, expression: &'b Value) -> Result<Option<&'b Value>, ExpressionError> {
        match expression.as_object().and_then(single) {
            Some(("Fn::If", argument)) => match argument.as_array().map(Vec::as_slice) {
                Some([Value::String(name), then, otherwise]) => {
                    let holds = self.conditions.get(name);
                    let holds = holds.ok_or_else(|| ExpressionError::NoCondition(name.clone()))?;
                    self.chosen(if *holds { then } else { otherwise })
                }
                _ => Err(ExpressionError::Form("Fn::If takes a condition's name and two values")),
            },
            Some(("Ref", Value::String(name))) if name == NO_VALUE => Ok(None),
            _ => Ok(Some(expression)),
        }
    }

    /// Whether a condition holds. It may refer to other conditions in `all`.
    pub(crate) fn condition(
        &self,
        name: &str,
        all: &BTreeMap<String, Value>,
    ) -> Result<bool, ExpressionError> {
        let mut others = all.clone();
        // A condition that refers to itself finds no condition of its name.
        let expression =
            others.remove(name).ok_or_else(|| ExpressionError::NoOtherCondition(name.to_owned()))?;
        self.holds(&expression, &others)
    }

    fn holds(&self, expression: &Value, all: &BTreeMap<String, Value>) -> Result<bool, ExpressionError> {
        const FORM: ExpressionError = ExpressionError::Form(
            "a condition is made of Fn::Equals, Fn::Not, Fn::And, Fn::Or and Condition",
        );
        let (function, argument) = expression.as_object().and_then(single).ok_or(FORM)?;
        let parts = argument.as_array().map(Vec::as_slice);
        match (function, parts) {
            ("Condition", None) => self.condition(argument.as_str().ok_or(FORM)?, all),
            ("Fn::Equals", Some([one, other])) => {
                Ok(plain(&self.resolve(one)?) == plain(&self.resolve(other)?))
            }
            ("Fn::Not", Some([of])) => Ok(!self.holds(of, all)?),
            ("Fn::And", Some(parts)) => {
                parts.iter().try_fold(true, |held, part| Ok(held & self.holds(part, all)?))
            }
            ("Fn::Or", Some(parts)) => {
                parts.iter().try_fold(false, |held, part| Ok(held | self.holds(part, all)?))
            }
            _ => Err(FORM),
        }
    }

    fn reference(&self, name: &str) -> Result<Value, ExpressionError> {
        if let Some(value) = self.values.pseudo_parameter(name) {
            return Ok(value.into());
        }
        if let Some(resource) = self.resources.get(name) {
            return Ok(resource.physical_id.clone().into());
        }
        match self.parameters.get(name) {
            Some(Value::Null) => Err(ExpressionError::NoParameterValue(name.to_owned())),
            Some(value) => Ok(value.clone()),
            None => Err(ExpressionError::NoReferent(name.to_owned())),
        }
    }

    fn attribute(&self, argument: &Value) -> Result<Value, ExpressionError> {
        const FORM: ExpressionError = ExpressionError::Form("Fn::GetAtt takes a resource and an attribute");
        let name = match argument {
            Value::String(dotted) => dotted.clone(),
            Value::Array(parts) => parts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("."),
            _ => return Err(FORM),
        };
        let (resource, attribute) = name.split_once('.').ok_or(FORM)?;
        let referent = self.resources.get(resource);
        let referent = referent.ok_or_else(|| ExpressionError::NoResource(resource.to_owned()))?;
        let value = referent.attributes.get(attribute).ok_or_else(|| {
            let (resource, attribute) = (resource.to_owned(), attribute.to_owned());
            ExpressionError::NoAttribute { resource, attribute }
        })?;
        Ok(self.localise(value.clone()).into())
    }

    fn join(&self, argument: &Value) -> Result<String, ExpressionError> {
        const FORM: ExpressionError =
            ExpressionError::Form("Fn::Join takes a delimiter and a list of strings");
        let (delimiter, parts) = match argument.as_array().map(Vec::as_slice) {
            Some([Value::String(delimiter), parts]) => (delimiter, self.resolve(parts)?),
            _ => return Err(FORM),
        };
        let parts = parts.as_array().ok_or(FORM)?.iter().map(plain).collect::<Vec<_>>();
        Ok(self.localise(parts.join(delimiter)))
    }

    /// `Fn::Sub`: a text with `${Name}`, or a list of such a text and variables.
    fn substitute(&self, argument: &Value) -> Result<String, ExpressionError> {
        let none = Map::new();
        let (text, variables) = match argument {
            Value::String(text) => (text, &none),
            Value::Array(parts) => match parts.as_slice() {
                [Value::String(text), Value::Object(variables)] => (text, variables),
                _ => return Err(ExpressionError::Form("Fn::Sub takes a text and a map of variables")),
            },
            _ => return Err(ExpressionError::Form("Fn::Sub takes a text")),
        };
        let mut result = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) =
                after.split_once('}').ok_or_else(|| ExpressionError::Unended(text.clone()))?;
            result.push_str(before);
            match (name.strip_prefix('!'), variables.get(name)) {
                (Some(literal), _) => result.push_str(&format!("${{{literal}}}")),
                (None, Some(variable)) => result.push_str(&plain(&self.resolve(variable)?)),
                (None, None) if name.contains('.') => {
                    result.push_str(&plain(&self.attribute(&name.into())?));
                }
                (None, None) => result.push_str(&plain(&self.reference(name)?)),
            }
            rest = after;
        }
        result.push_str(rest);
        Ok(self.localise(result))
    }

    /// Replaces the addresses of APIs by those on this machine.
    fn localise(&self, text: String) -> String {
        for api in self.resources.values().map(|resource| &resource.physical_id) {
            let domain = self.values.domain(api);
            for (scheme, here) in [("https", "http"), ("wss", "ws")] {
                if let Some(rest) = text.strip_prefix(&format!("{scheme}://{domain}")) {
                    return format!("{}{rest}", self.values.base_url.replacen("http", here, 1));
                }
            }
        }
        text
    }
}

/// A value as text.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The entry of a map with exactly one.
fn single(map: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut entries = map.iter();
    match (entries.next(), entries.next()) {
        (Some((key, value)), None) => Some((key, value)),
        _ => None,
    }
}

/// YAML as JSON, with short forms (`!Ref x`) as long ones (`{"Ref": "x"}`).
pub(crate) fn to_json(yaml: serde_norway::Value) -> Result<Value, serde_json::Error> {
    use serde_norway::Value as Yaml;
    Ok(match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => value.into(),
        Yaml::Number(number) => serde_json::to_value(number)?,
        Yaml::String(text) => text.into(),
        Yaml::Sequence(items) => items.into_iter().map(to_json).collect::<Result<_, _>>()?,
        Yaml::Mapping(map) => {
            let entries = map.into_iter().map(|(key, value)| Ok((plain(&to_json(key)?), to_json(value)?)));
            Value::Object(entries.collect::<Result<_, serde_json::Error>>()?)
        }
        Yaml::Tagged(tagged) => {
            let argument = to_json(tagged.value)?;
            match tagged.tag.to_string().trim_start_matches('!') {
                name @ ("Ref" | "Condition") => json!({ name: argument }),
                name => json!({ format!("Fn::{name}"): argument }),
            }
        }
    })
}
