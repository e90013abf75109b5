//! Writes the documents of the APIs to where they are served from: `cargo run --bin documents`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/docs");
    for (name, document) in documents::all() {
        std::fs::write(folder.join(name), document)?;
    }
    Ok(())
}
