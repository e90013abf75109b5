//! The files of the page: served as a CDN would, from the folder, so that a changed file is seen at the next
//! load.

use std::path::PathBuf;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::response::Response;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::Predicate;
use tower_http::services::ServeDir;

/// How well pages are compressed: a higher level takes ten times as long for a tenth less.
const COMPRESSION: CompressionLevel = CompressionLevel::Precise(6);

/// What a browser loads a file for: `script` if it is to run.
const SEC_FETCH_DEST: &str = "sec-fetch-dest";

/// A folder with pages.
#[derive(Clone)]
pub(crate) struct Pages(ServeDir);

impl Pages {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self(ServeDir::new(folder))
    }

    /// The page at the path of a request, if there is one.
    ///
    /// A script that a browser loads to run it comes without its comments, which are a quarter of it. Whoever
    /// opens it to read it gets all of it.
    pub(crate) async fn get(&self, request: Request) -> Option<Response> {
        let runs = runs(&request);
        // The file system may refuse a path, for example one that is too long.
        let page = self.0.clone().try_call(request).await.ok()?;
        if matches!(page.status(), StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
            return None;
        }
        let mut page = page.map(Body::new);
        let headers = page.headers_mut();
        // Browsers have to ask each time, so that a changed file is seen.
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
        headers.insert(header::VARY, HeaderValue::from_static(SEC_FETCH_DEST));
        let is_script = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/javascript");
        if is_script && runs && page.status() == StatusCode::OK {
            page = without_comments(page).await?;
        }
        page.extensions_mut().insert(IsPage);
        Some(page)
    }
}

/// Compresses pages, as a CDN would. API Gateway compresses nothing of its own accord.
pub(crate) fn compression() -> CompressionLayer<impl Predicate> {
    let is_page = |_: StatusCode, _: Version, _: &HeaderMap, extensions: &Extensions| {
        extensions.get::<IsPage>().is_some()
    };
    CompressionLayer::new().quality(COMPRESSION).compress_when(is_page)
}

/// Marks the response of a page.
#[derive(Clone, Copy)]
struct IsPage;

fn runs(request: &Request) -> bool {
    request.headers().get(SEC_FETCH_DEST).is_some_and(|destination| destination == "script")
}

/// Nothing if the file cannot be read to its end.
async fn without_comments(page: Response) -> Option<Response> {
    let (mut parts, body) = page.into_parts();
    let script = to_bytes(body, usize::MAX).await.ok()?;
    parts.headers.remove(header::CONTENT_LENGTH);
    let script = match str::from_utf8(&script) {
        Ok(script) => Body::from(code(script)),
        Err(_) => Body::from(script),
    };
    Some(Response::from_parts(parts, script))
}

/// A script with empty lines in place of those that hold nothing but a comment, so that errors name the lines
/// of the source. Comments that begin with `/*!` are licences, and stay.
fn code(script: &str) -> String {
    let mut code = String::with_capacity(script.len());
    let mut in_comment = false;
    for line in script.lines() {
        let start = line.trim_start();
        let opens = !in_comment && start.starts_with("/*") && !start.starts_with("/*!");
        if in_comment || opens {
            let comment = if opens { &start[2..] } else { start };
            let after = comment.split_once("*/").map(|(_, after)| after);
            in_comment = after.is_none();
            code.push_str(after.unwrap_or_default());
        } else if !start.starts_with("//") {
            code.push_str(line);
        }
        code.push('\n');
    }
    code
}

#[cfg(test)]
mod tests {
    use super::code;

    #[test]
    fn lines_of_comments_are_left_out_and_counted() {
        let script = [
            "/*! MIT */",
            "/** One. */",
            "let a = 1; // stays",
            "  /**",
            "   * Two */ let b = \"/* no */\";",
            "// Three.",
            "/*/ four",
            "*/",
            "let c;",
        ];
        let kept =
            ["/*! MIT */", "", "let a = 1; // stays", "", " let b = \"/* no */\";", "", "", "", "let c;"];
        assert_eq!(code(&script.join("\n")), kept.join("\n") + "\n");
    }
}
