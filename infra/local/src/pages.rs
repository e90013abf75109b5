//! The files of a page: compressed as a CDN would, and read anew for each request, so that a changed file is
//! seen at the next load.

use std::io;
use std::path::PathBuf;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use oxc_allocator::Allocator;
use oxc_parser::Parser;
use oxc_span::SourceType;
use tokio::task::spawn_blocking;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::Predicate;
use tower_http::services::ServeDir;

/// How well pages are compressed: a higher level takes ten times as long for a tenth less.
const COMPRESSION: CompressionLevel = CompressionLevel::Precise(6);

/// What a browser loads a file for: `script` if it is to run.
const SEC_FETCH_DEST: &str = "sec-fetch-dest";

/// What ends a line in JavaScript.
const LINE_TERMINATORS: [char; 4] = ['\n', '\r', '\u{2028}', '\u{2029}'];

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
        let runs = request.method() == Method::GET
            && request.headers().get(SEC_FETCH_DEST).is_some_and(|destination| destination == "script");
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
            page = match without_comments(page).await {
                Ok(page) => page,
                Err(error) => {
                    eprintln!("a page cannot be read: {error}");
                    return Some(StatusCode::INTERNAL_SERVER_ERROR.into_response());
                }
            };
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

async fn without_comments(page: Response) -> io::Result<Response> {
    let (mut parts, body) = page.into_parts();
    let script = to_bytes(body, usize::MAX).await.map_err(io::Error::other)?;
    // To parse a large script takes longer than other requests may wait.
    let script = spawn_blocking(move || match str::from_utf8(&script) {
        Ok(text) => Body::from(code(text)),
        Err(_) => Body::from(script),
    })
    .await?;
    for header in [header::CONTENT_LENGTH, header::ACCEPT_RANGES] {
        parts.headers.remove(header);
    }
    Ok(Response::from_parts(parts, script))
}

/// A module without its comments. It keeps their line breaks, so that errors name the lines of the source and
/// no statement ends elsewhere. What cannot be parsed stays as it is: the browser says what is wrong with it.
fn code(script: &str) -> String {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, script, SourceType::mjs()).parse();
    if parsed.panicked || !parsed.diagnostics.is_empty() {
        return script.to_owned();
    }
    let mut code = String::with_capacity(script.len());
    let mut end = 0;
    for comment in &parsed.program.comments {
        let (from, to) = (comment.span.start as usize, comment.span.end as usize);
        let text = &script[from..to];
        if is_kept(text) {
            continue;
        }
        code.push_str(script[end..from].trim_end_matches(' '));
        // A space keeps the tokens on both sides apart.
        code.push(' ');
        code.extend(text.chars().filter(|character| LINE_TERMINATORS.contains(character)));
        end = to;
    }
    code.push_str(&script[end..]);
    code
}

/// Licences stay, and what a browser or a bundler reads, such as `//# sourceMappingURL=`.
fn is_kept(comment: &str) -> bool {
    let text = &comment[2..];
    text.starts_with(['!', '#', '@']) || text.contains("@license") || text.contains("@preserve")
}

#[cfg(test)]
mod tests {
    use super::code;

    #[test]
    fn comments_are_left_out_and_their_lines_stay() {
        let script = [
            "/*! MIT */",
            "/** One. */",
            "let a = 1; // two",
            "  /**",
            "   * Three. */ let b = \"/* no */\";",
            "const c = `",
            "// no",
            "${/* four */ a}`; // five",
            "const d = /[`/*]/; return/**/d;",
            "return /*\u{2028}*/ d; /*! MIT */ // six",
            "/* @license MIT */ /*# sourceURL=a.js */",
            "//# sourceMappingURL=a.map",
        ];
        let kept = [
            "/*! MIT */",
            " ",
            "let a = 1; ",
            " ",
            " let b = \"/* no */\";",
            "const c = `",
            "// no",
            "${  a}`; ",
            "const d = /[`/*]/; return d;",
            "return \u{2028} d; /*! MIT */ ",
            "/* @license MIT */ /*# sourceURL=a.js */",
            "//# sourceMappingURL=a.map",
        ];
        let [script, kept] = [script, kept].map(|lines| format!("(() => {{{}\n}})", lines.join("\n")));
        assert_eq!(code(&script), kept);
    }

    #[test]
    fn what_is_no_module_is_served_as_it_is() {
        assert_eq!(code("let /* a */ = ;"), "let /* a */ = ;");
    }
}
