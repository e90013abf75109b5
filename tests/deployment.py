"""The template deployed into an emulator of AWS that is not ours: moto's server.

    python3 tests/deployment.py

SAM transforms the template, and each resource is made through boto3, since moto's CloudFormation does not know all types. What is then
there is asked of moto: whether everything that refers to something finds it.
"""

import io
import json
import os
import re
import subprocess
import sys
import zipfile

from infra import PARAMETERS, transformed
from stack import ROOT, environment

PACKAGES = ["moto[server]==5.2.5", "boto3==1.44.8", "aws-sam-translator==1.115.0", "pyyaml==6.0.3"]
REGION, ACCOUNT, STACK = "eu-central-1", "123456789012", "switchboard"
PSEUDO = {
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::StackName": STACK,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}
NOTHING = object()


class Deployment:
    """A template whose resources are made when something refers to them."""

    def __init__(self, template, parameters, clients):
        self.template = template
        self.clients = clients
        self.parameters = {name: self.given(parameter, parameters.get(name)) for name, parameter in template["Parameters"].items()}
        # Of each resource that is made: what `Ref` gives, and the attributes.
        self.made = {}

    @staticmethod
    def given(parameter, value):
        value = parameter["Default"] if value is None else value
        return [part for part in value.split(",") if part] if parameter["Type"] == "CommaDelimitedList" else value

    def deploy(self):
        for id, resource in self.template["Resources"].items():
            if self.exists(resource):
                self.make(id)

    def exists(self, resource):
        return "Condition" not in resource or self.condition(resource["Condition"])

    def condition(self, node):
        return self.value(self.template["Conditions"][node]) if isinstance(node, str) else self.value(node)

    def make(self, id):
        if id not in self.made:
            resource = self.template["Resources"][id]
            assert self.exists(resource), f"something refers to {id}, which is not made under its condition"
            dependencies = resource.get("DependsOn", [])
            for dependency in dependencies if isinstance(dependencies, list) else [dependencies]:
                self.make(dependency)
            maker = MAKERS.get(resource["Type"])
            assert maker, f"{id}: {resource['Type']} is not known here"
            try:
                self.made[id] = maker(self.clients, id, self.value(resource.get("Properties", {})))
            except Exception as error:
                raise AssertionError(f"{id} ({resource['Type']}): {error}") from error
        return self.made[id]

    def value(self, node):
        """With all intrinsic functions evaluated."""
        if isinstance(node, list):
            return [value for value in map(self.value, node) if value is not NOTHING]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (name, argument), = node.items()
            if name == "Ref":
                return self.reference(argument)
            if name == "Fn::GetAtt":
                id, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
                return self.make(id)[1][attribute]
            if name == "Fn::Sub":
                text, own = argument if isinstance(argument, list) else (argument, {})
                return re.sub(r"\$\{([^}]+)\}", lambda found: str(self.value(own[found[1]]) if found[1] in own else self.named(found[1])), text)
            if name == "Fn::If":
                return self.value(argument[1 if self.condition(argument[0]) else 2])
            if name == "Fn::Join":
                return argument[0].join(self.value(argument[1]))
            if name == "Fn::Equals":
                one, other = map(self.value, argument)
                return str(one) == str(other)
            if name == "Fn::Not":
                return not self.value(argument[0])
            if name in ("Fn::And", "Fn::Or"):
                return (all if name == "Fn::And" else any)(self.value(part) for part in argument)
            if name == "Condition" and argument in self.template["Conditions"]:
                return self.condition(argument)
            assert not name.startswith("Fn::"), f"{name} is not known here"
        return {key: value for key, value in ((key, self.value(part)) for key, part in node.items()) if value is not NOTHING}

    def named(self, name):
        return self.value({"Fn::GetAtt": name}) if "." in name and not name.startswith("AWS::") else self.reference(name)

    def reference(self, name):
        if name == "AWS::NoValue":
            return NOTHING
        if name in PSEUDO:
            return PSEUDO[name]
        return self.parameters[name] if name in self.parameters else self.make(name)[0]


# How each type is made: what `Ref` gives, and its attributes.


def role(clients, id, properties):
    made = clients["iam"].create_role(RoleName=id, AssumeRolePolicyDocument=document(properties["AssumeRolePolicyDocument"]))["Role"]
    for arn in properties.get("ManagedPolicyArns", []):
        if ":iam::aws:" not in arn:
            clients["iam"].attach_role_policy(RoleName=id, PolicyArn=arn)
    for policy in properties.get("Policies", []):
        clients["iam"].put_role_policy(RoleName=id, PolicyName=policy["PolicyName"], PolicyDocument=document(policy["PolicyDocument"]))
    return id, {"Arn": made["Arn"]}


def document(policy):
    assert policy["Version"] == "2012-10-17", "a policy without its version is read by the rules of 2008"
    return json.dumps(policy)


def managed_policy(clients, id, properties):
    arn = clients["iam"].create_policy(PolicyName=id, PolicyDocument=document(properties["PolicyDocument"]))["Policy"]["Arn"]
    return arn, {}


def function(clients, id, properties):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as package:
        package.writestr("bootstrap", "")
    known = ["Runtime", "Handler", "Role", "Timeout", "MemorySize", "Environment", "Architectures", "LoggingConfig", "VpcConfig"]
    given = {name: properties[name] for name in known if name in properties}
    variables = given["Environment"]["Variables"]
    given["Environment"] = {"Variables": {name: str(value) for name, value in variables.items()}}
    mode = properties.get("TracingConfig", {"Mode": "PassThrough"})
    arn = clients["lambda"].create_function(FunctionName=id, Code={"ZipFile": archive.getvalue()}, TracingConfig=mode, **given)["FunctionArn"]
    return id, {"Arn": arn}


def permission(clients, id, properties):
    name = properties["FunctionName"].rsplit(":", 1)[-1]
    clients["lambda"].add_permission(
        FunctionName=name, StatementId=id, Action=properties["Action"], Principal=properties["Principal"], SourceArn=properties["SourceArn"]
    )
    return id, {}


def invoke_config(clients, id, properties):
    known = ["FunctionName", "MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig"]
    clients["lambda"].put_function_event_invoke_config(**{name: properties[name] for name in known if name in properties})
    return id, {}


def api(clients, id, properties):
    kind = properties.get("ProtocolType", "HTTP")
    more = {"RouteSelectionExpression": properties["RouteSelectionExpression"]} if kind == "WEBSOCKET" else {}
    if "CorsConfiguration" in properties:
        more["CorsConfiguration"] = properties["CorsConfiguration"]
    made = clients["apigatewayv2"].create_api(Name=properties.get("Name", id), ProtocolType=kind, **more)["ApiId"]
    # SAM writes the routes of an HTTP API as OpenAPI, which moto does not import.
    for path, methods in properties.get("Body", {}).get("paths", {}).items():
        for method, operation in methods.items():
            uri = operation["x-amazon-apigateway-integration"]["uri"]
            integration = clients["apigatewayv2"].create_integration(
                ApiId=made, IntegrationType="AWS_PROXY", IntegrationUri=uri, PayloadFormatVersion="2.0"
            )
            target = f"integrations/{integration['IntegrationId']}"
            clients["apigatewayv2"].create_route(ApiId=made, RouteKey=f"{method.upper()} {path}", Target=target)
    return made, {"ApiEndpoint": f"https://{made}.execute-api.{REGION}.amazonaws.com"}


def of_api(verb, key, **defaults):
    """Something of an API, made by the call of that name."""
    return lambda clients, id, properties: (getattr(clients["apigatewayv2"], verb)(**defaults, **properties)[key], properties)


def stage(clients, id, properties):
    settings = [properties.get("DefaultRouteSettings", {}), *properties.get("RouteSettings", {}).values()]
    # In these, what a parameter gives stays the string that it is.
    for route, limits in properties.get("RouteSettings", {}).items():
        for name, limit in limits.items():
            assert isinstance(limit, (int, float)), f"RouteSettings of {route}: {name} is the string {limit!r}"
    assert all("ThrottlingRateLimit" in limits for limits in settings), settings
    routes = {route["RouteKey"] for route in clients["apigatewayv2"].get_routes(ApiId=properties["ApiId"])["Items"]}
    assert set(properties.get("RouteSettings", {})) <= routes, "settings of routes that are not there yet"
    known = ["ApiId", "StageName", "AutoDeploy", "AccessLogSettings", "Description"]
    clients["apigatewayv2"].create_stage(**{name: properties[name] for name in known if name in properties})
    return properties["StageName"], {}


def table(clients, id, properties):
    known = ["KeySchema", "AttributeDefinitions", "GlobalSecondaryIndexes", "BillingMode"]
    made = clients["dynamodb"].create_table(TableName=id, **{name: properties[name] for name in known})
    clients["dynamodb"].update_time_to_live(TableName=id, TimeToLiveSpecification=properties["TimeToLiveSpecification"])
    clients["dynamodb"].update_continuous_backups(
        TableName=id, PointInTimeRecoverySpecification=properties["PointInTimeRecoverySpecification"]
    )
    return id, {"Arn": made["TableDescription"]["TableArn"]}


def log_group(clients, id, properties):
    name = properties["LogGroupName"]
    clients["logs"].create_log_group(logGroupName=name)
    clients["logs"].put_retention_policy(logGroupName=name, retentionInDays=properties["RetentionInDays"])
    return name, {"Arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}:*"}


def queue(clients, id, properties):
    url = clients["sqs"].create_queue(QueueName=id)["QueueUrl"]
    return url, {"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{id}", "QueueName": id}


def queue_policy(clients, id, properties):
    for url in properties["Queues"]:
        clients["sqs"].set_queue_attributes(QueueUrl=url, Attributes={"Policy": document(properties["PolicyDocument"])})
    return id, {}


def topic(clients, id, properties):
    return clients["sns"].create_topic(Name=id)["TopicArn"], {}


def subscription(clients, id, properties):
    return clients["sns"].subscribe(**properties)["SubscriptionArn"], {}


def secret(clients, id, properties):
    return clients["secretsmanager"].create_secret(Name=id, SecretString="x" * 64)["ARN"], {}


def rule(clients, id, properties):
    arn = clients["events"].put_rule(Name=id, ScheduleExpression=properties["ScheduleExpression"])["RuleArn"]
    clients["events"].put_targets(Rule=id, Targets=properties["Targets"])
    return id, {"Arn": arn}


def alarm(clients, id, properties):
    clients["cloudwatch"].put_metric_alarm(AlarmName=id, **properties)
    return id, {}


def dashboard(clients, id, properties):
    clients["cloudwatch"].put_dashboard(**properties)
    return properties["DashboardName"], {}


def account(clients, id, properties):
    return id, {}


MAKERS = {
    "AWS::IAM::Role": role,
    "AWS::IAM::ManagedPolicy": managed_policy,
    "AWS::Lambda::Function": function,
    "AWS::Lambda::Permission": permission,
    "AWS::Lambda::EventInvokeConfig": invoke_config,
    "AWS::ApiGatewayV2::Api": api,
    "AWS::ApiGatewayV2::Authorizer": of_api("create_authorizer", "AuthorizerId", IdentitySource=[]),
    "AWS::ApiGatewayV2::Integration": of_api("create_integration", "IntegrationId"),
    "AWS::ApiGatewayV2::Route": of_api("create_route", "RouteId"),
    "AWS::ApiGatewayV2::RouteResponse": of_api("create_route_response", "RouteResponseId"),
    "AWS::ApiGatewayV2::Stage": stage,
    "AWS::DynamoDB::Table": table,
    "AWS::Logs::LogGroup": log_group,
    "AWS::SQS::Queue": queue,
    "AWS::SQS::QueuePolicy": queue_policy,
    "AWS::SNS::Topic": topic,
    "AWS::SNS::Subscription": subscription,
    "AWS::SecretsManager::Secret": secret,
    "AWS::Events::Rule": rule,
    "AWS::CloudWatch::Alarm": alarm,
    "AWS::CloudWatch::Dashboard": dashboard,
    # Its one call is about the account, which moto has no role for.
    "AWS::ApiGateway::Account": account,
}


# What is there then.


def check_websocket_api(clients, made, template):
    apigateway, functions = clients["apigatewayv2"], clients["lambda"]
    id = made["WebSocketApi"][0]
    routes = apigateway.get_routes(ApiId=id)["Items"]
    keys = {route["RouteKey"] for route in routes}
    wanted = {resource["Properties"]["RouteKey"] for resource in template["Resources"].values() if resource["Type"] == "AWS::ApiGatewayV2::Route"}
    assert keys == wanted and len(keys) > 5, keys ^ wanted
    integrations = {integration["IntegrationId"]: integration for integration in apigateway.get_integrations(ApiId=id)["Items"]}
    changing = {"edit_message", "delete_message", "add_reaction", "remove_reaction"}
    answering = {"join_conversation", "leave_conversation", "send_message", "mark_read", "ping", "$default"} | changing
    for route in routes:
        key = route["RouteKey"]
        uri = integrations[route["Target"].removeprefix("integrations/")]["IntegrationUri"]
        arn = re.search(r"functions/(arn:.+)/invocations$", uri)[1]
        name = functions.get_function(FunctionName=arn)["Configuration"]["FunctionName"]
        policy = json.loads(functions.get_policy(FunctionName=name)["Policy"])
        source = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{id}/v1/{key}"
        allowed = [statement["Condition"]["ArnLike"]["AWS:SourceArn"] for statement in policy["Statement"]]
        assert source in allowed, f"{key}: {name} may be invoked for {allowed}"
        # moto cannot list them, nor authorizers.
        responses = [made_id for made_id, properties in made.values() if "RouteResponseKey" in properties and properties["RouteId"] == route["RouteId"]]
        found = [apigateway.get_route_response(ApiId=id, RouteId=route["RouteId"], RouteResponseId=response) for response in responses]
        assert [response["RouteResponseKey"] for response in found] == (["$default"] if key in answering else []), key
        assert (route.get("AuthorizationType") == "CUSTOM") == (key == "$connect"), key
    authorizer = apigateway.get_authorizer(ApiId=id, AuthorizerId=made["Authorizer"][0])
    assert made["Authorize"][1]["Arn"] in authorizer["AuthorizerUri"] and authorizer["AuthorizerType"] == "REQUEST"
    return f"{len(routes)} WebSocket routes"


def check_http_api(clients, made, template):
    id = made["HttpApi"][0]
    routes = clients["apigatewayv2"].get_routes(ApiId=id)["Items"]
    assert {route["RouteKey"] for route in routes} == documented_routes(), routes
    integrations = {one["IntegrationId"]: one for one in clients["apigatewayv2"].get_integrations(ApiId=id)["Items"]}
    for route in routes:
        uri = integrations[route["Target"].removeprefix("integrations/")]["IntegrationUri"]
        arn = re.search(r"functions/(arn:.+)/invocations$", uri)[1]
        name = clients["lambda"].get_function(FunctionName=arn)["Configuration"]["FunctionName"]
        method, path = route["RouteKey"].split()
        pattern = re.sub(r"{\w+}", "*", path)
        policy = json.loads(clients["lambda"].get_policy(FunctionName=name)["Policy"])
        allowed = [statement["Condition"]["ArnLike"]["AWS:SourceArn"] for statement in policy["Statement"]]
        assert f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{id}/*/{method}{pattern}" in allowed, f"{name} may be invoked for {allowed}"
    return f"{len(routes)} HTTP routes"


def documented_routes():
    documents = [json.loads((ROOT / "infra/web/docs" / name).read_text()) for name in ("openapi.json", "service.json")]
    return {f"{method.upper()} {path}" for document in documents for path, methods in document["paths"].items() for method in methods}


def check_table(clients, made, template):
    name = made["Connections"][0]
    described = clients["dynamodb"].describe_table(TableName=name)["Table"]
    assert described["KeySchema"] == [{"AttributeName": "pk", "KeyType": "HASH"}], described["KeySchema"]
    index, = described["GlobalSecondaryIndexes"]
    keys = [(key["AttributeName"], key["KeyType"]) for key in index["KeySchema"]]
    assert (index["IndexName"], keys) == ("online", [("onlineShard", "HASH"), ("sweepAt", "RANGE")]), index
    expiry = clients["dynamodb"].describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert (expiry["TimeToLiveStatus"], expiry["AttributeName"]) == ("ENABLED", "ttl"), expiry
    backups = clients["dynamodb"].describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    return "a table"


def check_variables(clients, made, template):
    """What the variables of the functions lead to is there."""
    functions = clients["lambda"].list_functions(MaxItems=100)["Functions"]
    endpoint = f"https://{made['WebSocketApi'][0]}.execute-api.{REGION}.amazonaws.com/v1"
    for function in functions:
        name, variables = function["FunctionName"], function["Environment"]["Variables"]
        assert all("Fn::" not in value and "${" not in value for value in variables.values()), f"{name}: {variables}"
        assert variables.get("CONNECTIONS_TABLE", made["Connections"][0]) == made["Connections"][0], name
        assert variables.get("PUSH_ENDPOINT", endpoint) == endpoint, name
        assert variables.get("DATABASE_URL", PARAMETERS["DatabaseSecret"]) == PARAMETERS["DatabaseSecret"], name
        if "JWT_SECRET" in variables:
            clients["secretsmanager"].describe_secret(SecretId=variables["JWT_SECRET"])
        clients["iam"].get_role(RoleName=function["Role"].rsplit("/", 1)[1])
    return f"{len(functions)} functions"


def check_schedule(clients, made, template):
    rules = clients["events"].list_rules()["Rules"]
    assert len(rules) == sum(resource["Type"] == "AWS::Events::Rule" for resource in template["Resources"].values()) > 0
    for rule in rules:
        targets = clients["events"].list_targets_by_rule(Rule=rule["Name"])["Targets"]
        for target in targets:
            name = clients["lambda"].get_function(FunctionName=target["Arn"])["Configuration"]["FunctionName"]
            policy = json.loads(clients["lambda"].get_policy(FunctionName=name)["Policy"])
            allowed = [statement["Condition"]["ArnLike"]["AWS:SourceArn"] for statement in policy["Statement"]]
            assert rule["Arn"] in allowed, f"{rule['Name']} may not invoke {name}"
            # The others find in Postgres what is left to do.
            assert ("DeadLetterConfig" in target) == ("SweepConnections" in name), f"{name}: {target}"
            if "DeadLetterConfig" not in target:
                continue
            queue = target["DeadLetterConfig"]["Arn"].rsplit(":", 1)[1]
            url = clients["sqs"].get_queue_url(QueueName=queue)["QueueUrl"]
            policy = json.loads(clients["sqs"].get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"])
            sources = [statement["Condition"]["ArnEquals"]["aws:SourceArn"] for statement in policy["Statement"]]
            assert sources == [rule["Arn"]], f"the queue takes from {sources}"
    return f"{len(rules)} schedules"


def check_alarms(clients, made, template):
    alarms = clients["cloudwatch"].describe_alarms(MaxRecords=100)["MetricAlarms"]
    there = {
        "FunctionName": {function["FunctionName"] for function in clients["lambda"].list_functions(MaxItems=100)["Functions"]},
        "TableName": set(clients["dynamodb"].list_tables()["TableNames"]),
        "QueueName": {url.rsplit("/", 1)[1] for url in clients["sqs"].list_queues()["QueueUrls"]},
        "ApiId": {api["ApiId"] for api in clients["apigatewayv2"].get_apis()["Items"]},
        "Stage": {"v1"},
        "Stack": {STACK},
        "GlobalSecondaryIndexName": {"online"},
    }
    assert len(alarms) == sum(resource["Type"] == "AWS::CloudWatch::Alarm" for resource in template["Resources"].values()) > 0
    topics = {topic["TopicArn"] for topic in clients["sns"].list_topics()["Topics"]}
    for alarm in alarms:
        metrics = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query] or [alarm]
        for dimension in [dimension for metric in metrics for dimension in metric["Dimensions"]]:
            assert dimension["Value"] in there[dimension["Name"]], f"{alarm['AlarmName']} watches {dimension}, which is not there"
        for actions in alarm["AlarmActions"], alarm["OKActions"]:
            assert actions and set(actions) <= topics, f"{alarm['AlarmName']} tells {actions}"
    return f"{len(alarms)} alarms"


def main():
    python = environment("target/moto", *PACKAGES)
    if os.path.realpath(sys.prefix) != os.path.realpath(python.parent):
        # Again, with the packages.
        sys.exit(subprocess.run([python / "python", __file__]).returncode)
    import boto3
    from moto.server import ThreadedMotoServer

    # Nothing of this leaves the machine.
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        credentials = {"aws_access_key_id": "moto", "aws_secret_access_key": "moto", "region_name": REGION}
        session = boto3.session.Session(**credentials)
        names = ["apigatewayv2", "cloudwatch", "dynamodb", "events", "iam", "lambda", "logs", "secretsmanager", "sns", "sqs"]
        clients = {name: session.client(name, endpoint_url=f"http://{host}:{port}") for name in names}
        # With everything that is made under a condition of ours.
        chosen = {**PARAMETERS, "EventsUrl": "https://example.com/events", "EventsSecret": PARAMETERS["DatabaseSecret"]}
        deployment = Deployment(transformed(chosen), chosen, clients)
        deployment.deploy()
        checks = [check_websocket_api, check_http_api, check_table, check_variables, check_schedule, check_alarms]
        print("ok:", ", ".join(check(clients, deployment.made, deployment.template) for check in checks), f"from {len(deployment.made)} resources")
    finally:
        server.stop()


if __name__ == "__main__":
    main()
