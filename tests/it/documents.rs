//! The API documents are those that the types generate, and they are served.

use harness::Stack;

#[test]
fn what_is_checked_in_is_what_the_types_say() {
    for (name, document) in documents::all() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/web/docs").join(name);
        let checked_in = std::fs::read_to_string(&path).unwrap();
        assert!(checked_in == document, "{name} is out of date: cargo run --bin documents");
    }
}

#[tokio::test]
async fn the_page_and_the_documents_are_served_beside_the_api() {
    let stack = Stack::shared();
    let get = async |path: &str| {
        let answer = reqwest::get(stack.http(path)).await.unwrap();
        let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
        (answer.status().as_u16(), content_type, answer.text().await.unwrap())
    };
    for (path, content_type, holds) in [
        ("/", "text/html", "<title>Switchboard</title>"),
        ("/client/switchboard.js", "text/javascript", "export class Switchboard"),
        ("/docs/", "text/html", "<title>Switchboard for developers</title>"),
        ("/docs/openapi.json", "application/json", "\"openapi\": \"3.1.0\""),
        ("/docs/service.json", "application/json", "\"openapi\": \"3.1.0\""),
        ("/docs/errors.json", "application/json", "\"invalid_request\""),
        ("/docs/asyncapi.json", "application/json", "\"asyncapi\": \"3.0.0\""),
    ] {
        let (status, found, body) = get(path).await;
        assert_eq!((status, found.as_str()), (200, content_type), "{path}");
        assert!(body.contains(holds), "{path}");
    }
    let compressed = async |path: &str| {
        let request = reqwest::Client::new().get(stack.http(path)).header("accept-encoding", "gzip, br");
        request.send().await.unwrap().headers().clone()
    };
    let page = compressed("/page/main.js").await;
    assert_eq!(page["cache-control"], "no-cache", "a change is seen at once");
    assert_eq!(page["content-encoding"], "br", "as a CDN would compress it");
    let answer = compressed("/dev/connections").await;
    assert!(!answer.contains_key("content-encoding"), "what is no page is as API Gateway would send it");
    let (status, _, body) = get("/no/such/page").await;
    assert_eq!((status, body.as_str()), (404, r#"{"message":"Not Found"}"#), "the HTTP API's own words");
}
