//! The whole road with tonic, from a convention to the rows of a published structure; examples/clients/SCENARIO.md says what each step does.

mod contract;
mod newer;
mod refusal;
mod steps;
mod values;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tonic::transport::{Channel, Endpoint};

use crate::contract::Convention;

/// The id under which the convention is registered.
const ID: &str = "pdb-structures";

/// What the steps need: a server, and what is brought to it.
struct Road {
    endpoint: Endpoint,
    /// Cheap to clone; all clones share one connection, over which any number of calls go at once. It connects again by itself.
    channel: Channel,
    convention: Convention,
    structure: PathBuf,
    metadata: prost_types::Struct,
}

#[tokio::main]
async fn main() -> Result<()> {
    let [address, structure, convention] =
        std::env::args().skip(1).collect::<Vec<_>>().try_into().ok().context("usage: run ADDRESS STRUCTURE CONVENTION")?;

    let endpoint = Endpoint::try_from(format!("http://{address}"))?
        .connect_timeout(Duration::from_secs(10))
        // Finds out that a connection is dead while only a watch uses it. The server allows a ping every 10 s.
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    let structure = PathBuf::from(structure);
    let road = Road {
        channel: endpoint.connect().await?,
        endpoint,
        convention: contract::from_json("opensciencearchive.v1.Convention", &read(Path::new(&convention))?)?,
        metadata: contract::from_json("google.protobuf.Struct", &read(&metadata_of(&structure)?)?)?,
        structure,
    };

    tell("server_info", road.server_info().await?);
    tell("validate_only", road.validate_only().await?);
    let (name, saw) = road.register().await?;
    tell("register", saw);
    tell("register_again", road.register_again(&name).await?);
    tell("conflict", road.conflict().await?);
    let (file, saw) = road.upload(&name).await?;
    tell("upload", saw);
    let (run, token, saw) = road.submit(&file).await?;
    tell("submit", saw);
    tell("watch", road.watch(&run, token).await?);
    tell("log", road.log(&run).await?);
    tell("query", road.query().await?);
    tell("download", road.download(&file).await?);
    tell("errors", road.errors(&name).await?);
    Ok(())
}

/// Says what a step saw.
fn tell(step: &str, saw: Value) {
    println!("{}", json!({"step": step, "saw": saw}));
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// `structures/1a8o.cif.gz` has its metadata in `metadata/1a8o.json`.
fn metadata_of(structure: &Path) -> Result<PathBuf> {
    let file = structure.file_name().and_then(|name| name.to_str()).context("a structure has a name")?;
    let entry = file.split('.').next().unwrap_or(file);
    Ok(structure.with_file_name("..").join("metadata").join(format!("{entry}.json")))
}
