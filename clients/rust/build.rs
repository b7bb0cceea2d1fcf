//! Makes the code of `protos/` at build time; no protoc is needed.

use std::{env, fs, io, path::Path};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protos = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../protos");
    println!("cargo::rerun-if-changed={}", protos.join("gpt_server").display());
    let mut files = Vec::new();
    collect(&protos.join("gpt_server"), &mut files)?;
    let descriptors = protox::compile(files, [&protos])?;
    tonic_prost_build::configure().build_server(false).include_file("protos.rs").compile_fds(descriptors)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
