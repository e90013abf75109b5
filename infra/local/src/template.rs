//! The SAM template: the only definition of functions, routes, tables and environment.
//!
//! Read once, before anything starts. Whatever is not supported is refused by its logical id, so that nothing
//! silently differs from AWS.

mod document;
mod error;
mod functions;
mod http;
mod intrinsics;
mod model;
mod reader;
mod sam;
mod selection;
mod websocket;

use std::collections::BTreeSet;
use std::path::Path;

use document::{Document, FUNCTION, TABLE, refused};
use reader::Reader;

pub(crate) use error::TemplateError;
pub(crate) use intrinsics::Values;
pub(crate) use model::{
    Cors, Function, HttpApi, HttpAuthorizer, HttpRoute, IdentitySource, Schedule, Table, Template, Throttle,
    WebSocketApi,
};

/// Reads the template at `path`.
pub(crate) fn load(path: &Path, values: &Values) -> Result<Template, TemplateError> {
    let text = std::fs::read_to_string(path)?;
    read(&text, path.parent().unwrap_or(Path::new(".")), values)
}

/// Reads a template that is in `folder`.
pub(crate) fn read(text: &str, folder: &Path, values: &Values) -> Result<Template, TemplateError> {
    let document = Document::parse(text)?;
    let resources = document.resources()?;
    let reader = Reader::new(&document, &resources, folder, values)?;
    if let Some(other) = reader.document.globals.keys().find(|section| *section != "Function") {
        return Err(TemplateError::GlobalsSection(other.clone()));
    }
    let mut names = BTreeSet::new();
    if let Some((id, _)) = reader.of_type(FUNCTION).find(|(id, _)| !names.insert(reader.physical_id(id))) {
        let name = reader.physical_id(id);
        return Err(refused(id, format!("another function is called {name}: give it a FunctionName")));
    }
    let functions = reader.of_type(FUNCTION).map(|(id, resource)| reader.function(id, resource));
    let tables = reader.of_type(TABLE).map(|(id, resource)| reader.table(id, resource));
    Ok(Template {
        functions: functions.collect::<Result<_, _>>()?,
        tables: tables.collect::<Result<_, _>>()?,
        schedules: reader.schedules()?,
        websockets: reader.websockets()?,
        http: reader.http()?,
        pages: reader.document.metadata.local_pages.as_ref().map(|pages| folder.join(pages)),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    fn understood(text: &str) -> Result<Template, TemplateError> {
        let parameters = BTreeMap::from([("DatabaseSecret".to_owned(), "postgres://here".to_owned())]);
        let values = Values {
            region: "us-east-1".to_owned(),
            account: "000000000000".to_owned(),
            stack_name: "stack".to_owned(),
            base_url: "http://127.0.0.1:1".to_owned(),
            overrides: BTreeMap::new(),
            parameters,
        };
        read(text, Path::new("."), &values)
    }

    fn ours() -> String {
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml")).unwrap()
    }

    #[test]
    fn our_own_is_understood() {
        assert_eq!(understood(&ours()).unwrap().functions.len(), 20);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_text_breaks_the_reading(text in any::<String>()) {
            let _ = understood(&text);
        }

        /// Removes a line, changes another one, and removes all lines after a third: the template is read or
        /// refused.
        #[test]
        fn no_mistake_in_ours_does(lost in any::<Index>(), changed in any::<Index>(), to in "[ -~]{0,40}",
            end in any::<Index>()) {
            let text = ours();
            let mut lines: Vec<_> = text.lines().collect();
            lines.remove(lost.index(lines.len()));
            let changed = changed.index(lines.len());
            let indented = &lines[changed][..lines[changed].len() - lines[changed].trim_start().len()];
            let line = format!("{indented}{to}");
            lines[changed] = &line;
            let _ = understood(&lines.join("\n"));
            lines.truncate(end.index(lines.len()));
            let _ = understood(&lines.join("\n"));
        }
    }
}
