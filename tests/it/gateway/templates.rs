//! Templates that run, and templates that are refused.

use harness::{Stack, folder, run_to_end};
use serde_json::json;

/// The error of a template that cannot run.
fn refusal(resources: &str, args: &[&str]) -> String {
    let folder = folder();
    let template = folder.path().join("template.yaml");
    let path = template.to_str().unwrap();
    std::fs::write(&template, resources).unwrap();
    let output = run_to_end(&[&["--port", "0", "--template", path], args].concat());
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default().to_owned();
    last.strip_prefix(&format!("error: {path}: ")).unwrap_or(&last).to_owned()
}

/// A template with a function and other resources.
fn with_function(resources: &str) -> String {
    format!(
        "Resources:
  F:
    Type: AWS::Serverless::Function
    Metadata: {{BuildMethod: rust-cargolambda, BuildProperties: {{Binary: f}}}}
    Properties: {{Runtime: provided.al2023, CodeUri: .}}
{resources}"
    )
}

#[tokio::test]
async fn parameters_have_other_values_when_told_so() {
    let stack = Stack::own_gateway(&["--parameter-overrides", "Given=by hand"]);
    let found = stack.invokes("environment").await;
    assert_eq!(found["GIVEN"], json!("by hand"));
    assert_eq!((&found["CHOSEN"], &found["SOMETIMES"]), (&json!("something else"), &json!("here")));
    assert_eq!(stack.invokes("sometimes").await["AWS_LAMBDA_FUNCTION_NAME"], json!("sometimes"));
    let said = refusal("Resources: {}", &["--parameter-overrides", "Nobody=x"]);
    assert_eq!(said, "there is no parameter Nobody to give a value to");
}

#[test]
fn what_is_not_understood_is_refused_by_its_logical_id() {
    let websocket = |properties: &str| {
        with_function(&format!(
            "  Api:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      RouteSelectionExpression: $request.body.action
      Routes: {{$default: {{FunctionArn: !GetAtt F.Arn}}}}
{properties}"
        ))
    };
    let http = |properties: &str| {
        with_function(&format!("  Api:\n    Type: AWS::Serverless::HttpApi\n    Properties:\n{properties}"))
    };
    for (template, said) in [
        (
            with_function("  Bucket: {Type: AWS::S3::Bucket}"),
            "Bucket: the type AWS::S3::Bucket is not supported here",
        ),
        ("Globals: {Api: {}}\nResources: {}".to_owned(), "Globals: the section Api is not supported here"),
        (
            "Mappings: {}\nResources: {}".to_owned(),
            "unknown field `Mappings`, expected one of `AWSTemplateFormatVersion`, `Transform`, \
                `Description`, `Metadata`, `Parameters`, `Conditions`, `Globals`, `Resources`, `Rules`, \
                `Outputs`",
        ),
        (
            "Conditions: {C: !Equals [a]}\nResources: {}".to_owned(),
            "C: a condition is made of Fn::Equals, Fn::Not, Fn::And, Fn::Or and Condition",
        ),
        (
            "Conditions: {C: !Not [!Condition D], D: !Not [!Condition C]}\nResources: {}".to_owned(),
            "C: there is no condition C to be made of",
        ),
        (
            websocket("      Auth: {AuthType: AWS_IAM}"),
            "Api: the authorization type AWS_IAM is not supported here",
        ),
        (
            websocket("      Auth: {AuthType: CUSTOM, AuthArn: !GetAtt F.Arn}"),
            "Api: authorization needs a $connect route",
        ),
        (websocket("      RouteSettings: {other: {}}"), "Api: has settings for other, which is no route"),
        (
            websocket(
                "  Other:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      RouteSelectionExpression: x
      Routes: {$default: {FunctionArn: !GetAtt F.Arn}}",
            ),
            "Other: another API has the stage default here already",
        ),
        (
            websocket("      Domain: {}"),
            "Api: unknown field `Domain`, expected one of `StageName`, `StageVariables`, \
                `DefaultRouteSettings`, `RouteSettings`",
        ),
        (
            with_function(
                "  Api:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      RouteSelectionExpression: $request.header.x
      Routes: {$default: {FunctionArn: !GetAtt F.Arn}}",
            ),
            "Api: the route selection expression $request.header.x is not supported here",
        ),
        (
            with_function(
                "  Api:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      RouteSelectionExpression: x
      Routes: {$default: {FunctionArn: \"arn:aws:lambda:us-east-1:000000000000:function:g\"}}",
            ),
            "Api: arn:aws:lambda:us-east-1:000000000000:function:g leads to no function",
        ),
        (
            http("      StageName: v1"),
            "Api: unknown field `StageName`, expected one of `CorsConfiguration`, `Auth`, \
                `DefaultRouteSettings`, `RouteSettings`",
        ),
        (
            http(
                "      Auth: {Authorizers: {A: {FunctionArn: !GetAtt F.Arn, AuthorizerPayloadFormatVersion: \
                    \"1.0\"}}}",
            ),
            "Api: the payload format 1.0 of the authorizer A is not supported here",
        ),
        (
            "Resources: {T: {Type: AWS::DynamoDB::Table, Properties: {KeySchema: !If [a, b, c]}}}".to_owned(),
            "T: there is no condition a",
        ),
        (
            "Resources: {T: {Type: AWS::DynamoDB::Table, Condition: Wanted}}".to_owned(),
            "T: there is no condition Wanted",
        ),
        (
            "Resources: {T: {Type: AWS::DynamoDB::Table, Properties: {KeySchema: !Select [0, \
                [a]]}}}"
                .to_owned(),
            "T: Fn::Select is not supported here",
        ),
        (
            "Resources: {T: {Type: AWS::DynamoDB::Table, Metadata: {}, Properties: {TableName: !Ref \
                AWS::NoValue}}}"
                .to_owned(),
            "T: AWS::NoValue stands where there has to be a value",
        ),
        (
            "Resources: {T: {Type: AWS::DynamoDB::Table, Properties: {StreamSpecification: {}}}}".to_owned(),
            "T: the property StreamSpecification is not supported here",
        ),
        (
            with_function(
                "  G:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: rust-cargolambda, BuildProperties: {Binary: f}}",
            ),
            "G: another function is called f: give it a FunctionName",
        ),
        (
            with_function(
                "      Events: {Get: {Type: HttpApi, Properties: {Method: GET, Path: /, ApiId: other}}}",
            )
            .replace(
                "{Runtime: provided.al2023, CodeUri: .}",
                "\n      Runtime: provided.al2023\n      CodeUri: .",
            ),
            "F: an event is for another API than the one here: other",
        ),
        (
            websocket(
                "  Route:
    Type: AWS::ApiGatewayV2::Route
    Properties: {ApiId: !Ref Api, RouteKey: more, Target: x}",
            ),
            "Route: belongs to no AWS::ApiGatewayV2::Api",
        ),
        (
            with_function(
                "  Api:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      RouteSelectionExpression: x
      Routes: {send_message: {FunctionArn: !GetAtt F.Arn}}",
            ),
            "Api: SAM takes only letters and digits in a route key, not send_message",
        ),
        (
            with_function(
                "  Api:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      RouteSelectionExpression: x
      Routes: {a: {FunctionArn: !GetAtt F.Arn, IntegrationTimeout: 30000}}",
            ),
            "Api: an integration has 29 s at most",
        ),
        (
            "Parameters: {P: {Type: Number, Default: 5, MaxValue: 4}}\nResources: {}".to_owned(),
            "P: 5 is more than 4",
        ),
        (
            "Parameters: {P: {Type: 'AWS::SSM::Parameter::Value<String>', Default: x}}\nResources: {}"
                .to_owned(),
            "P: the type AWS::SSM::Parameter::Value<String> is not supported here",
        ),
    ] {
        assert_eq!(refusal(&template, &[]), said);
    }
    let typed = "Parameters: {P: {Type: Number, AllowedValues: [1, 2]}}\nResources: {}";
    assert_eq!(refusal(typed, &["--parameter-overrides", "P=3"]), "P: 3 is not one of 1, 2");
    assert_eq!(
        refusal("Parameters: {P: {Type: Number}}\nResources: {}", &["--parameter-overrides", "P=x"]),
        "P: x is not a number"
    );
}
