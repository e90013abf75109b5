"""The templates, as far as they can be checked without an AWS account.

    python3 tests/infra.py

cfn-lint and SAM's own validation; the template as SAM transforms it, held against what the functions need; checkov.
"""

import json
import os
import re
import shlex
import subprocess
import sys

from stack import ROOT, SAM, environment

TEMPLATE = "infra/template.yaml"
DATABASE = "infra/database.yaml"

ROUTE_ARN = re.compile(r"arn:\$\{AWS::Partition\}:execute-api:\$\{AWS::Region\}:\$\{AWS::AccountId\}:\$\{WebSocketApi\}/\$\{Stage\}/(.+)")

# What has no default. SAM evaluates no conditions: what depends on one is checked for both cases at once.
PARAMETERS = {"DatabaseSecret": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:database-AbCdEf"}


def run(*command):
    print("$", *command[1:], flush=True)
    # What phones home is told not to.
    quiet = {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "eu-central-1", "CHECKOV_RUN_SCA_PACKAGE_SCAN": "false"}
    if subprocess.run(command, cwd=ROOT, env={**os.environ, **quiet}).returncode:
        sys.exit(f"{command[0].name} found something: see above")


def transformed(parameters):
    """The template as CloudFormation gets it from SAM."""
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator
    from samtranslator.yaml_helper import yaml_parse

    os.environ["AWS_DEFAULT_REGION"] = "eu-central-1"
    document = yaml_parse((ROOT / TEMPLATE).read_text())
    for resource in document["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            # Where `sam package` puts it.
            resource["Properties"]["CodeUri"] = "s3://bucket/code.zip"
    document["Globals"]["Function"].pop("CodeUri")
    return Translator({}, Parser()).translate(document, parameters, feature_toggle=None)


# The functions of routes that are not called after them.
FUNCTIONS = {
    "$connect": "Connect", "$disconnect": "Disconnect", "$default": "UnknownAction", "typing_start": "Typing", "typing_stop": "Typing",
    **dict.fromkeys(["edit_message", "delete_message", "add_reaction", "remove_reaction"], "ChangeMessage"),
}


def documented_routes():
    """The routes of both HTTP documents: (method, path)."""
    documents = [json.loads((ROOT / "infra/web/docs" / name).read_text()) for name in ("openapi.json", "service.json")]
    return {(method.upper(), path) for document in documents for path, methods in document["paths"].items() for method in methods}


def check_routes(template):
    """Every route leads to a function that API Gateway may invoke for it, and answers if the protocol says so."""
    resources = template["Resources"]
    of_type = lambda kind: {id: r["Properties"] for id, r in resources.items() if r["Type"] == kind}
    permissions = of_type("AWS::Lambda::Permission").values()
    responses = {response["RouteId"]["Ref"] for response in of_type("AWS::ApiGatewayV2::RouteResponse").values()}
    routes = of_type("AWS::ApiGatewayV2::Route")
    integrations = of_type("AWS::ApiGatewayV2::Integration")
    stage = resources["WebSocketStage"]
    allowed = {
        (permission["FunctionName"]["Ref"], ROUTE_ARN.fullmatch(arn)[1])
        for permission in permissions
        if isinstance(arn := permission["SourceArn"].get("Fn::Sub"), str) and ROUTE_ARN.fullmatch(arn)
    }
    authorizer = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${WebSocketApi}/authorizers/${Authorizer}"
    authorizers = [permission["FunctionName"]["Ref"] for permission in permissions if permission["SourceArn"].get("Fn::Sub") == authorizer]
    assert authorizers == ["Authorize"], f"API Gateway may invoke {authorizers} as the authorizer"
    for id, route in routes.items():
        key = route["RouteKey"]
        integration = integrations[re.fullmatch(r"integrations/\$\{(\w+)\}", route["Target"]["Fn::Sub"])[1]]
        function = re.search(r"\$\{(\w+)\.Arn\}/invocations$", integration["IntegrationUri"]["Fn::Sub"])[1]
        wanted = FUNCTIONS.get(key) or "".join(word.capitalize() for word in key.split("_"))
        assert function == wanted, f"{key} leads to {function}"
        assert (function, key) in allowed, f"{id}: API Gateway may not invoke {function} for {key}"
        answers = key not in ("$connect", "$disconnect") and key in answered_actions()
        assert (id in responses) == answers, f"{id}: {key} {'answers' if answers else 'does not answer'}, by its route response it does{'' if id in responses else ' not'}"
        assert (route.get("RouteResponseSelectionExpression") == "$default") == answers, f"{id}: its RouteResponseSelectionExpression"
        assert id in stage["DependsOn"], f"{id}: the stage does not wait for it"
        assert (route.get("AuthorizationType") == "CUSTOM") == (key == "$connect"), f"{id}: only $connect is authorized"
    late = {id for id in of_type("AWS::ApiGatewayV2::RouteResponse") if id not in stage["DependsOn"]}
    assert not late, f"the stage does not wait for {late}"
    actions = {route["RouteKey"] for route in routes.values()} - {"$connect", "$disconnect", "$default"}
    assert actions == documented_actions(), actions ^ documented_actions()
    http = resources["HttpApi"]["Properties"]["Body"]["paths"]
    paths = {(method.upper(), path) for path, methods in http.items() for method in methods if method != "options"}
    assert paths == documented_routes(), paths
    allowed = resources["HttpApi"]["Properties"]["CorsConfiguration"]["AllowMethods"] if "CorsConfiguration" in resources["HttpApi"]["Properties"] else resources["HttpApi"]["Properties"]["Body"]["x-amazon-apigateway-cors"]["allowMethods"]
    used = {method for method, path in paths if path.startswith("/api/")}
    assert used <= set(allowed), f"pages may not use {used - set(allowed)}"
    for limited in stage, resources["HttpApiApiGatewayDefaultStage"]:
        properties = limited["Properties"]
        assert {"ThrottlingRateLimit", "ThrottlingBurstLimit"} <= set(properties["DefaultRouteSettings"]), properties
        # What `Ref` gives here would be a string: these settings have no types.
        own = [limit for settings in properties.get("RouteSettings", {}).values() for limit in settings.values()]
        assert all(isinstance(limit, (int, float)) for limit in own), f"limits that are no numbers: {own}"
        assert "$context.integration.requestId" in properties["AccessLogSettings"]["Format"], "the log does not say which invocation it was"
    exposed = {header.lower() for header in resources["HttpApi"]["Properties"]["Body"]["x-amazon-apigateway-cors"]["exposeHeaders"]}
    assert exposed == {"retry-after", "www-authenticate"}, exposed
    return f"{len(routes)} WebSocket routes, {len(paths)} HTTP routes"


def asyncapi():
    return json.loads((ROOT / "infra/web/docs/asyncapi.json").read_text())


def documented_actions():
    document = asyncapi()
    return {operation["messages"][0]["$ref"].rsplit("/", 1)[1] for operation in document["operations"].values() if operation["action"] == "receive"}


def answered_actions():
    """The actions that are answered, by the document of the protocol, and what no route matches."""
    document = asyncapi()
    answered = {
        operation["messages"][0]["$ref"].rsplit("/", 1)[1]
        for operation in document["operations"].values()
        if operation["action"] == "receive" and "reply" in operation
    }
    return answered | {"$default"}


def statements(template, function):
    """What a function may do."""
    resources = template["Resources"]
    role = resources[resources[function]["Properties"]["Role"]["Fn::GetAtt"][0]]["Properties"]
    policies = [policy["PolicyDocument"] for policy in role.get("Policies", [])]
    for managed in role["ManagedPolicyArns"]:
        references = [managed] if "Ref" in managed else managed["Fn::If"][1:]
        for reference in references:
            assert isinstance(reference, dict) and "Ref" in reference, f"{function}: a policy that is not of this template: {reference}"
            if reference["Ref"] != "AWS::NoValue":
                policies.append(resources[reference["Ref"]]["Properties"]["PolicyDocument"])
    for policy in policies:
        for statement in policy["Statement"]:
            for possible in statement["Fn::If"][1:] if "Fn::If" in statement else [statement]:
                if possible != {"Ref": "AWS::NoValue"}:
                    yield possible


def listed(value):
    return value if isinstance(value, list) else [value]


# What each action may be done with, exactly. A star stands where no resource can be named (Service Authorization Reference).
OWN = "arn:${AWS::Partition}:%s:${AWS::Region}:${AWS::AccountId}:"
SECRETS = {"DatabaseSecret", "MigrationSecret", "JwtSecret", "TokenSecret", "EventsSecret", PARAMETERS["DatabaseSecret"]}
RESOURCES = {
    "dynamodb:Query": [{"Fn::Sub": "${Connections.Arn}/index/online"}],
    "dynamodb:": [{"Fn::GetAtt": ["Connections", "Arn"]}],
    "execute-api:ManageConnections": [
        {"Fn::Sub": OWN % "execute-api" + f"${{WebSocketApi}}/${{Stage}}/{method}/@connections/*"} for method in ["POST", "DELETE"]
    ],
    "logs:": [{"Fn::GetAtt": ["Logs", "Arn"]}],
    "lambda:InvokeFunction": [{"Fn::GetAtt": ["DeliverEvents", "Arn"]}],
    "sqs:SendMessage": [{"Fn::GetAtt": ["Failures", "Arn"]}],
    "kms:Decrypt": [{"Ref": "SecretsKey"}, ""],
    "ec2:Describe": ["*"],
    "ec2:": [{"Fn::Sub": OWN % "ec2" + "*/*"}],
    "xray:": ["*"],
}


def is_own(action, resource):
    """Whether a function may be allowed this: the narrowest that there is."""
    if action == "secretsmanager:GetSecretValue":
        named = set(re.findall(r"'Ref': '(\w+)'|'(arn:[^']+)'", str(resource)))
        return bool(named) and {name or arn for name, arn in named} <= SECRETS
    fitting = next((resources for beginning, resources in RESOURCES.items() if action.startswith(beginning)), [])
    return resource in fitting


# What each variable is no use without, and who has no use for it otherwise.
NEEDED = {
    "DATABASE_URL": "secretsmanager:GetSecretValue",
    "CONNECTIONS_TABLE": "dynamodb:",
    "PUSH_ENDPOINT": "execute-api:ManageConnections",
    "DELIVER_EVENTS": "lambda:",
}


def check_policies(template):
    """Every function may do something with what it is given, and nothing else. tests/it/permissions.rs holds the single calls
    against what the functions do."""
    functions = {id: r["Properties"] for id, r in template["Resources"].items() if r["Type"] == "AWS::Lambda::Function"}
    for id, function in functions.items():
        variables = function["Environment"]["Variables"]
        actions = set()
        for statement in statements(template, id):
            assert "NotAction" not in statement and "NotResource" not in statement, id
            if statement["Effect"] == "Deny":
                continue
            for action in listed(statement["Action"]):
                assert "*" not in action, f"{id} may do {action}"
                actions.add(action)
                for resource in listed(statement["Resource"]):
                    assert is_own(action, resource), f"{id} may do {action} with {resource}"
        for variable, action in NEEDED.items():
            may = any(allowed.startswith(action) for allowed in actions)
            if variable == "DATABASE_URL":
                may &= any("Database" in str(statement["Resource"]) or "Migration" in str(statement["Resource"]) for statement in statements(template, id))
            assert may == (variable in variables), f"{id}: {variable} and {action} do not go together"
        assert ("VpcConfig" in function) == ("DATABASE_URL" in variables), f"{id}: only who uses Postgres is in the VPC"
        assert function["LoggingConfig"]["LogGroup"] == {"Ref": "Logs"}, id
        assert "logs:PutLogEvents" in actions, id
        text = json.dumps(variables)
        assert "resolve:" not in text, f"{id}: a secret would be written into its environment"
    return f"{len(functions)} functions"


def check_documents(template):
    """Policies are read by the rules that they were written for, and what a failed first deployment made does not stay."""
    documents = []
    for id, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        own = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        documents += [(id, properties[name]) for name in ("AssumeRolePolicyDocument", "PolicyDocument") if name in properties]
        documents += [(id, policy) for policy in own]
        # The account's setting stays after all, so its role has to.
        kept = id in ("ApiGatewayLogs", "ApiGatewayAccount")
        assert (resource.get("DeletionPolicy") == "Retain") == kept, f"{id} would stay after a deployment that failed"
    assert template["Resources"]["TokenSecret"]["DeletionPolicy"] == "RetainExceptOnCreate", "whoever signs tokens has it too"
    old = [id for id, document in documents if document.get("Version") != "2012-10-17"]
    assert not old, f"policies without a version: {old}"
    assert "FailuresQueue" in template["Outputs"]
    # What is built by default is what the checks build.
    assert template["Parameters"]["Architecture"]["Default"] == "x86_64"
    assert "--x86-64" in (ROOT / "infra/README.md").read_text()
    return f"{len(documents)} policies"


def check_database():
    """The database: watched, of the version that the template says, and restored with what it tells."""
    from samtranslator.yaml_helper import yaml_parse

    template = yaml_parse((ROOT / DATABASE).read_text())
    resources = template["Resources"]
    alarms = {r["Properties"].get("MetricName") or r["Properties"]["Metrics"][1]["MetricStat"]["Metric"]["MetricName"] for r in resources.values() if r["Type"] == "AWS::CloudWatch::Alarm"}
    assert alarms >= {"ACUUtilization", "DatabaseConnections", "Errors"}, alarms
    rotation = resources["SecretRotation"]["Properties"]["HostedRotationLambda"]["RotationLambdaName"]
    assert resources["RotationFails"]["Properties"]["Dimensions"][0]["Value"] == rotation, "the alarm watches another function"
    assert resources["Cluster"]["Properties"]["DeletionProtection"] == {"Fn::If": ["IsProtected", True, False]}, "a protected cluster blocks a rollback"
    check_told(resources)
    instances = [r["Properties"] for r in resources.values() if r["Type"] == "AWS::RDS::DBInstance"]
    assert all(instance["AutoMinorVersionUpgrade"] is False for instance in instances), "its version would change by itself"
    recipe = (ROOT / "infra/README.md").read_text().partition("### Roll back")[2].partition("###")[0]
    outputs = {"--db-subnet-group-name": "SubnetGroup", "--vpc-security-group-ids": "DatabaseSecurityGroup", "--db-cluster-parameter-group-name": "ParameterGroup"}
    for option, output in outputs.items():
        assert option in recipe and f"`{output}`" in recipe and output in template["Outputs"], f"the recipe to restore: {option}"
    assert "--serverless-v2-scaling-configuration" in recipe and "--master-user-password" in recipe
    check_egress(template)
    used_up = {query["Id"]: query.get("Expression") for query in resources["ConnectionsUsedUp"]["Properties"]["Metrics"]}
    # 80 % of 189 for each unit is above 2,000, the ceiling while MinCapacity is below 1, from 14 units on.
    assert used_up["percent"] == "MAX([ofcapacity, ofceiling])" and used_up["ofceiling"] == "100 * connections / 2000", used_up
    return f"{len(alarms)} alarms of the database"


def check_egress(database):
    """Both templates give the functions the same ways out, and the costs of both add up."""
    from samtranslator.yaml_helper import yaml_parse

    service = yaml_parse((ROOT / TEMPLATE).read_text())
    for key in ["AllowedValues", "Default"]:
        assert service["Parameters"]["Egress"][key] == database["Parameters"]["Egress"][key], key
    functions = [r["Properties"] for r in service["Resources"].values() if r["Type"] == "AWS::Serverless::Function"]
    networks = [function["VpcConfig"]["Fn::If"][1] for function in functions if "VpcConfig" in function]
    assert networks and all(network["Ipv6AllowedForDualStack"]["Fn::If"][0] == "UsesIpv6" for network in networks), networks
    assert service["Resources"]["WebSocketApi"]["Properties"]["IpAddressType"] == "dualstack"
    variables = service["Globals"]["Function"]["Environment"]["Variables"]
    for variable in ["AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL_LAMBDA"]:
        assert variables[variable]["Fn::If"][0] == "UsesIpv6" and ".api.aws" in json.dumps(variables[variable]), variable
    assert database["Resources"]["PrivateIpv6Route"]["Properties"]["DestinationIpv6CidrBlock"] == "::/0"
    allowed = database["Resources"]["Functions"]["Properties"]["SecurityGroupEgress"]
    assert any(rule.get("CidrIpv6") == "::/0" and rule["ToPort"] == 443 for rule in allowed), allowed
    table = (ROOT / "infra/README.md").read_text().partition("| Aurora as in database.yaml, a month |")[2].partition("\n\n")[0]
    rows = {row[1].strip().strip("*"): [sum(map(float, re.findall(r"\$([\d.]+)", cell))) for cell in row[2:4]] for row in (line.split("|") for line in table.splitlines()[2:])}
    starts = ["NAT gateway", "together", "with `Egress=ipv6`", "with `RotationDays=0`"]
    nat, together, ipv6, by_hand = (next(rows[name] for name in rows if name.startswith(start)) for start in starts)
    parts = [sum(dollars[column] for name, dollars in rows.items() if not name.startswith(("together", "with"))) for column in range(2)]
    assert all(abs(part - said) < 0.01 for part, said in zip(parts, together, strict=True)), f"{parts} are said to be {together}"
    assert all(abs(with_nat - dollars + 7.3 - said) < 0.01 for with_nat, dollars, said in zip(together, nat, ipv6, strict=True)), ipv6
    assert all(abs(rotated - 7.3 - 0.1 - said) < 0.01 for rotated, said in zip(ipv6, by_hand, strict=True)), by_hand
    # Without a rotation nothing is left that costs by the hour but the cluster.
    hourly = {id: r.get("Condition") for id, r in database["Resources"].items() if r["Type"] in ("AWS::EC2::VPCEndpoint", "AWS::EC2::NatGateway", "AWS::EC2::EIP") and id != "DynamoDbEndpoint"}
    assert hourly == {"SecretsManagerEndpoint": "RotatesByIpv6", "NatGateway": "UsesNat", "NatAddress": "UsesNat"}, hourly
    for id in ["SecretRotation", "RotationFails"]:
        assert database["Resources"][id]["Condition"] == "Rotates", id


def check_figures():
    """What the documents say in words is what their tables and the code say."""
    tables = (ROOT / "infra/README.md").read_text()
    connected = tables.partition("| a thousand people who are always connected, each month | dollars |")[2].partition("\n\n")[0]
    rows = {name: float(dollars) for name, dollars in re.findall(r"^\| (.+) \| \$([\d.]+) \|$", connected, re.M)}
    joined = rows.pop("Reconnects, for each conversation that each of them has joined")
    said = re.search(r"about\s+(\d+)\s+dollars\s+a\s+month\s+for\s+a\s+thousand\s+users", (ROOT / "README.md").read_text())
    assert said and abs(int(said[1]) - sum(rows.values())) < 5 and joined < 5, f"README.md says {said and said[0]}, the table {rows}"
    # A paused Aurora takes 15 s to resume.
    patience = re.search(r"SESSION_CONNECT_TIMEOUT: Duration = Duration::from_secs\((\d+)\)", (ROOT / "shared/store/src/pool.rs").read_text())
    assert int(patience[1]) > 20, f"a migration waits {patience[1]} s for a database that may have to wake up"
    return f"{len(rows)} figures"


def check_told(resources):
    for id, resource in resources.items():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            properties = resource["Properties"]
            assert properties["AlarmActions"] == properties["OKActions"] == [{"Ref": "Alarms"}], f"{id} does not tell when it begins and ends"


def check_alarms(template):
    """Every function is watched."""
    check_told(template["Resources"])
    counted = [resource["Properties"] for resource in template["Resources"].values() if resource["Type"] == "AWS::CloudWatch::Alarm"]
    metrics = sum(max(1, sum("MetricStat" in query for query in alarm.get("Metrics", []))) for alarm in counted)
    assert f"| Alarms, {metrics} metrics at $0.10 | ${metrics * 0.1:.2f} |" in (ROOT / "infra/README.md").read_text(), f"the alarms have {metrics} metrics"
    # A refused token is an error to Lambda, and nothing is wrong then.
    of_errors = template["Resources"]["SocketFunctionsFail"]["Properties"]["Metrics"]
    assert "Authorize" not in str(of_errors), "every refused token would ring"
    crashes = template["Resources"]["AuthorizerCrashes"]["Properties"]["Metrics"][0]["Expression"]
    assert crashes == "errors - FILL(refused, 0) - FILL(unverified, 0)", crashes
    resources = template["Resources"].values()
    functions = {id for id, r in template["Resources"].items() if r["Type"] == "AWS::Lambda::Function"}
    for metric in ["Errors", "Throttles"]:
        watched = [
            query["MetricStat"]["Metric"]["Dimensions"][0]["Value"]["Ref"]
            for resource in resources
            if resource["Type"] == "AWS::CloudWatch::Alarm"
            for query in resource["Properties"].get("Metrics", [])
            if "MetricStat" in query and query["MetricStat"]["Metric"]["MetricName"] == metric
        ]
        # This one is kept few on purpose; how old its events are is watched instead.
        wanted = functions - ({"DeliverEvents"} if metric == "Throttles" else set())
        assert sorted(watched) == sorted(wanted), f"{metric}: {set(watched) ^ wanted}"
    # What the functions measure is what is watched.
    telemetry = (ROOT / "shared/edge/src/telemetry/line.rs").read_text()
    measured = set(re.findall(r'^    \("\w+", "(\w+)", "\w+", [\d.]+\),$', telemetry, re.M))
    alarms = {r["Properties"]["MetricName"] for r in resources if r.get("Properties", {}).get("Namespace") == "Switchboard"}
    assert f"| Metrics of the functions, {len(measured)} at $0.30 | ${len(measured) * 0.3:.2f} |" in (ROOT / "infra/README.md").read_text(), len(measured)
    assert measured and alarms <= measured, f"alarms on what nobody measures: {alarms - measured}"
    body = template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    widgets = json.loads(re.sub(r"\$\{[\w:]+\}", "x", body))["widgets"]
    rows = [row for widget in widgets for row in widget["properties"].get("metrics", [])]
    shown = {row[1] for widget in widgets if widget["properties"].get("metrics", [[""]])[0][0] == "Switchboard" for row in widget["properties"]["metrics"] if row[0] != "..."}
    assert shown and shown <= measured, f"the dashboard shows what nobody measures: {shown - measured}"
    assert len(rows) > 4 * len(functions), "the dashboard shows every function"
    return f"{sum(r['Type'] == 'AWS::CloudWatch::Alarm' for r in resources)} alarms"


def aws_options(words):
    """The options of a command of the AWS CLI, by the CLI's own tables."""
    from awscli.clidriver import create_clidriver

    command = create_clidriver()
    options = set(command.create_help_command().arg_table)
    for word in words:
        subcommands = command.create_help_command().command_table
        if not subcommands:
            break
        assert word in subcommands, f"aws {' '.join(words)}: there is no {word}"
        command = subcommands[word]
    return options | set(command.create_help_command().arg_table)


def check_commands(sam):
    """The commands that infra/README.md tells are ones that the AWS CLI and SAM take: their options, not what an account would say."""
    text = (ROOT / "infra/README.md").read_text()
    commands = [line for block in re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S) for line in block.splitlines()]
    commands += re.findall(r"`(aws [^`]+)`", text)
    checked = 0
    for line in commands:
        # What is asked to fill in a variable is a command too.
        for command in [found for found in re.findall(r"\$\(([^)]+)\)", line)] + [re.sub(r"\$\([^)]+\)", "x", line)]:
            words = [re.sub(r"\$(\w+)", "a-value", word) for word in shlex.split(command)]
            # What follows a pipe is another program's.
            words = words[: words.index("|")] if "|" in words else words
            if words[:1] == ["aws"]:
                unknown = [word for word in words if word.startswith("--") and word[2:] not in aws_options(words[1:])]
                assert not unknown, f"{command}: {unknown}"
                checked += 1
            elif words[:1] == ["sam"]:
                known = subprocess.run([sam / "sam", words[1], "--help"], capture_output=True, text=True, check=True).stdout
                unknown = [word for word in words if word.startswith("--") and word not in known]
                assert not unknown, f"{command}: {unknown}"
                checked += 1
    assert checked > 10, f"only {checked} commands found"
    # With --guided, SAM asks questions that a plain Enter answers with no.
    assert not any("--guided" in command for command in commands) and "--guided" not in (ROOT / "README.md").read_text()
    # Every alarm that points there has its paragraph.
    template = (ROOT / TEMPLATE).read_text() + (ROOT / DATABASE).read_text()
    for heading in set(re.findall(r"See infra/README.md, (\w+)\.", template)):
        assert f"#### {heading}\n" in text, f"infra/README.md tells nothing of {heading}"
    return f"{checked} commands"


def main():
    sam = environment("target/sam", SAM, "aws-sam-translator==1.115.0", "cfn-lint==1.58.0", "awscli==1.46.3")
    checkov = environment("target/checkov", "checkov==3.3.30")
    sys.path.append(str(next(sam.parent.glob("lib/python3*/site-packages"))))
    run(sam / "cfn-lint", TEMPLATE, DATABASE)
    run(sam / "sam", "validate", "--lint", "--template", TEMPLATE)
    print("ok:", check_commands(sam))
    template = transformed(PARAMETERS)
    print("ok:", ", ".join(check(template) for check in [check_routes, check_policies, check_documents, check_alarms]) + ",", check_database() + ",", check_figures())
    run(checkov / "checkov", "--file", TEMPLATE, DATABASE, "--framework", "cloudformation", "--compact", "--quiet", "--skip-download", "--config-file", "infra/checkov.yaml")
    print("ok: the templates")


if __name__ == "__main__":
    main()
