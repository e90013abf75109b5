//! An authorizer that denies everything.

use lambda_runtime::Error;
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Error> {
    gateway::run(async |event| {
        Ok(json!({
            "principalId": "nobody",
            "policyDocument": {
                "Version": "2012-10-17",
                "Statement": [{ "Action": "execute-api:Invoke", "Effect": "Deny",
                    "Resource": event["methodArn"] }],
            },
        }))
    })
    .await
}
