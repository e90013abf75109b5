//! Selects the route of a request: exact paths before paths with parameters, those before greedy ones, those
//! before `$default`; and a route of the method before one of any method.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::template::HttpRoute;

/// A route, and the values of its parameters.
#[derive(Debug)]
pub(super) struct Match<'a> {
    pub(super) route: &'a HttpRoute,
    /// Decoded.
    pub(super) parameters: BTreeMap<String, String>,
}

pub(super) fn find<'a>(routes: &'a [HttpRoute], method: &str, path: &str) -> Option<Match<'a>> {
    let of_method = |route: &&HttpRoute| route.method.as_deref().is_none_or(|wanted| wanted == method);
    routes
        .iter()
        .filter(of_method)
        .filter_map(|route| Some((route, parameters(&route.path, path)?)))
        .min_by_key(|(route, parameters)| {
            let literal = route.path.split('/').filter(|part| !part.starts_with('{')).count();
            let greedy = route.path.contains("+}");
            (route.path == "$default", greedy, Reverse(literal), parameters.len(), route.method.is_none())
        })
        .map(|(route, parameters)| Match { route, parameters })
}

/// The values of the parameters of a pattern, if the path matches.
fn parameters(pattern: &str, path: &str) -> Option<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    if pattern == "$default" {
        return Some(found);
    }
    // Only one slash is removed: a path with two is another path.
    let mut rest = path.strip_prefix('/')?;
    let mut parts = pattern.trim_start_matches('/').split('/').peekable();
    while let Some(part) = parts.next() {
        if let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix("+}")) {
            found.insert(name.to_owned(), decode(rest));
            return (!rest.is_empty()).then_some(found);
        }
        let (segment, after) = match rest.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (rest, None),
        };
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(_) if segment.is_empty() => return None,
            Some(name) => drop(found.insert(name.to_owned(), decode(segment))),
            None if decode(segment) != part => return None,
            None => {}
        }
        match (after, parts.peek()) {
            (Some(after), Some(_)) => rest = after,
            (None, None) => return Some(found),
            _ => return None,
        }
    }
    None
}

pub(super) fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn route(method: &str, path: &str) -> HttpRoute {
        let method = Some(method.to_owned()).filter(|method| method != "ANY");
        HttpRoute {
            method,
            path: path.to_owned(),
            function: String::new(),
            timeout: Duration::ZERO,
            authorizer: None,
            throttle: None,
        }
    }

    #[test]
    fn the_most_specific_route_wins() {
        let routes = [
            route("ANY", "$default"),
            route("GET", "/a/{proxy+}"),
            route("ANY", "/a/{id}"),
            route("GET", "/a/{id}"),
            route("GET", "/a/b"),
        ];
        let found = |method, path| {
            find(&routes, method, path).map(|found| (found.route.path.clone(), found.parameters))
        };
        assert_eq!(found("GET", "/a/b").unwrap().0, "/a/b");
        assert_eq!(found("GET", "/a/%62").unwrap().0, "/a/b");
        let (path, parameters) = found("GET", "/a/c%20d").unwrap();
        assert_eq!((path.as_str(), parameters["id"].as_str()), ("/a/{id}", "c d"));
        let (path, parameters) = found("GET", "/a/c/d").unwrap();
        assert_eq!((path.as_str(), parameters["proxy"].as_str()), ("/a/{proxy+}", "c/d"));
        assert_eq!(found("POST", "/x").unwrap().0, "$default");
    }

    #[test]
    fn what_fits_no_route_is_not_found() {
        let routes = [route("GET", "/a/{id}")];
        assert!(find(&routes, "POST", "/a/1").is_none());
        assert!(find(&routes, "GET", "/a").is_none());
        assert!(find(&routes, "GET", "/a/").is_none());
        assert!(find(&routes, "GET", "/a/1/2").is_none());
        assert!(find(&routes, "GET", "//a/1").is_none());
        assert!(find(&routes, "GET", "/a//1").is_none());
    }
}
