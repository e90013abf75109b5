//! A stand-in between the functions and DynamoDB, which passes everything on until it is told to make
//! trouble.

use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::Response;
use serde_json::json;
use tokio::net::TcpListener;

/// How DynamoDB seems to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    Throttling,
    Down,
}

/// The stand-in.
#[derive(Clone, Debug)]
pub(crate) struct DynamoDb {
    pub(crate) url: String,
    state: Arc<Mutex<(Mood, String)>>,
}

impl DynamoDb {
    /// Starts one that knows no DynamoDB yet: its URL has to be known before the stack starts.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let dynamodb = Self { url, state: Arc::new(Mutex::new((Mood::Well, String::new()))) };
        let serving = dynamodb.clone();
        let routes =
            axum::Router::new().fallback(async move |request: Request| serving.answer(request).await);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        dynamodb
    }

    /// From now on it passes calls on to the DynamoDB at this URL.
    pub(crate) fn pass_on_to(&self, url: &str) {
        self.state.lock().unwrap().1 = url.to_owned();
    }

    /// From now on this is how it seems to be.
    pub(crate) fn is(&self, mood: Mood) {
        self.state.lock().unwrap().0 = mood;
    }

    async fn answer(&self, request: Request) -> Response<Body> {
        let (mood, url) = self.state.lock().unwrap().clone();
        let refused = |status: u16, kind: &str| {
            let body =
                json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{kind}"), "message": "trouble" });
            Response::builder().status(status).body(Body::from(body.to_string())).unwrap()
        };
        match mood {
            Mood::Well => {}
            Mood::Throttling => return refused(400, "ProvisionedThroughputExceededException"),
            Mood::Down => return refused(500, "InternalServerError"),
        }
        let (head, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let passed = reqwest::Client::new().post(url).headers(head.headers).body(body).send().await.unwrap();
        let response = Response::builder().status(passed.status());
        response.body(Body::from(passed.bytes().await.unwrap())).unwrap()
    }
}
