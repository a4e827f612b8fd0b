//! Generates Rust from the contract. `protox` reads the .proto files, so no protoc needs to be installed.

use std::{env, error::Error, fs, path::PathBuf};

/// The contract, and what it imports of google/api. In a project of your own: the one folder that `osa-grpc contract export` has written.
const INCLUDES: &[&str] = &["../../../proto", "../../../build/googleapis"];
const PACKAGE: &str = "opensciencearchive/v1";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(INCLUDES[0]).join(PACKAGE);
    let files = fs::read_dir(&folder)?
        .map(|entry| Ok(PathBuf::from(PACKAGE).join(entry?.file_name())))
        .collect::<Result<Vec<_>, std::io::Error>>()?;
    println!("cargo::rerun-if-changed={}", folder.display());

    let descriptors = protox::compile(files, INCLUDES)?;

    // For protobuf's JSON: see src/contract.rs.
    let bytes = prost::Message::encode_to_vec(&descriptors);
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("contract.binpb"), bytes)?;

    let mut config = prost_build::Config::new();
    config.enable_type_names(); // so that error details are found by their type
    tonic_prost_build::configure().build_server(false).compile_fds_with_config(descriptors, config)?;
    Ok(())
}
