//! Events of a connection, as API Gateway and the authorizer make them.
#![no_main]

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use edge::websocket::{caller, profile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|event: &[u8]| {
    let Ok(event) = serde_json::from_slice::<ApiGatewayWebsocketProxyRequest>(event) else { return };
    if let Ok(caller) = caller(&event) {
        assert_eq!(Some(caller.connection_id.as_str()), event.request_context.connection_id.as_deref());
        assert!((1..=128).contains(&caller.user_id.as_str().chars().count()));
    }
    let _ = profile(&event);
});
