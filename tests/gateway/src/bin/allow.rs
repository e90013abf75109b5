//! An authorizer that allows everything, or `RESOURCE` only. Its context has values that are not strings.

use lambda_runtime::Error;
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Error> {
    gateway::run(async |event| {
        gateway::wait(&event).await;
        let resource = std::env::var("RESOURCE").map_or_else(|_| event["methodArn"].clone(), Into::into);
        println!("{}", json!({ "event": event }));
        Ok(json!({
            "principalId": "somebody",
            "policyDocument": {
                "Version": "2012-10-17",
                "Statement": [{ "Action": "execute-api:Invoke", "Effect": "Allow", "Resource": resource }],
            },
            "context": { "n": 1, "b": true, "s": "text" },
        }))
    })
    .await
}
