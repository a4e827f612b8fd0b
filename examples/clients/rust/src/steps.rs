//! The steps. Each gives back what it saw, and what a later one needs.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_stream::{Stream, StreamExt};
use tokio_util::io::ReaderStream;
use tonic::{Code, Request, Status};

use crate::contract::convention_service_client::ConventionServiceClient;
use crate::contract::deposition_service_client::DepositionServiceClient;
use crate::contract::feature_service_client::FeatureServiceClient;
use crate::contract::run_service_client::RunServiceClient;
use crate::contract::server_service_client::ServerServiceClient;
use crate::contract::*;
use crate::refusal::{Refusal, detail};
use crate::values::{enum_name, json_value, kind_name};
use crate::watch::RunWatch;
use crate::{ID, Road, newer};

const CHUNK_BYTES: usize = 64 * 1024;
const CHAINS: &str = "featureTables/chains";

/// A request that waits for its answer for so long at most. The server is told, and gives up as well.
fn within<M>(seconds: u64, message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_secs(seconds));
    request
}

impl Road {
    pub async fn server_info(&self) -> Result<Value> {
        let mut client = ServerServiceClient::new(self.channel.clone());
        let answer = client.get_server_info(within(60, GetServerInfoRequest {})).await?.into_inner();
        // A response wraps what it returns; a message that is not there is None, and never so where the contract says nothing of it.
        let info = answer.server_info.unwrap_or_default();
        Ok(json!({
            "runtimes": info.runtimes, "feature_kinds": info.feature_kinds, "container_contracts": info.container_contracts,
        }))
    }

    /// Registers, or only asks whether it would be accepted.
    async fn registered(&self, convention: Convention, validate_only: bool) -> Result<Convention, Status> {
        let request = RegisterConventionRequest {
            convention_id: ID.into(),
            convention: Some(convention),
            validate_only,
            ..Default::default()
        };
        let mut client = ConventionServiceClient::new(self.channel.clone());
        let answer = client.register_convention(within(60, request)).await?.into_inner();
        Ok(answer.convention.unwrap_or_default())
    }

    pub async fn validate_only(&self) -> Result<Value> {
        let name = self.registered(self.convention.clone(), true).await?.name;
        let mut client = ConventionServiceClient::new(self.channel.clone());
        let stored = match client.get_convention(within(60, GetConventionRequest { name: name.clone() })).await {
            Ok(_) => true,
            Err(status) if status.code() == Code::NotFound => false,
            Err(status) => return Err(status.into()),
        };
        Ok(json!({"name": name, "stored": stored}))
    }

    pub async fn register(&self) -> Result<(String, Value)> {
        let name = self.registered(self.convention.clone(), false).await?.name;
        let mut client = ConventionServiceClient::new(self.channel.clone());
        let mut stream = client.watch_convention(WatchConventionRequest { name }).await?.into_inner();
        let mut now = Convention::default();
        // `message` gives None only when the server has said OK; anything else that ends a stream is an Err.
        while let Some(message) = stream.message().await? {
            now = message.convention.unwrap_or_default();
        }
        let state = enum_name::<ConventionState>(now.state, ConventionState::as_str_name);
        let saw = json!({"name": now.name, "state": state, "feature_tables": now.feature_tables});
        Ok((now.name, saw))
    }

    pub async fn register_again(&self, name: &str) -> Result<Value> {
        let again = self.registered(self.convention.clone(), false).await?;
        let state = enum_name::<ConventionState>(again.state, ConventionState::as_str_name);
        Ok(json!({"same_name": again.name == name, "state": state}))
    }

    pub async fn conflict(&self) -> Result<Value> {
        let mut other = Convention { name: String::new(), version: "2.0.0".into(), ..self.convention.clone() };
        let chains = other.hooks.iter_mut().find(|hook| hook.name == "chains").context("there is no hook `chains`")?;
        let Some(hook_definition::Feature::Table(table)) = &mut chains.feature else {
            bail!("the hook `chains` has no table");
        };
        for column in table.columns.iter_mut().filter(|column| column.name == "residue_count") {
            column.set_json_type(JsonType::String);
        }
        let status = self.registered(other, false).await.err().context("it was not refused")?;
        let refusal = Refusal::from(&status);
        let conflict: FeatureTableConflict = detail(&status).context("the refusal does not say which columns differ")?;
        let columns: Vec<_> =
            (conflict.columns.iter()).map(|c| json!({"column": c.column, "expected": c.expected, "found": c.found})).collect();
        Ok(json!({"code": refusal.code, "reason": refusal.reason, "columns": columns}))
    }

    async fn draft(&self, convention: &str) -> Result<String> {
        let deposition =
            Deposition { convention: convention.into(), metadata: Some(self.metadata.clone()), ..Default::default() };
        let request = CreateDepositionRequest { deposition: Some(deposition), ..Default::default() };
        let mut client = DepositionServiceClient::new(self.channel.clone());
        let answer = client.create_deposition(within(60, request)).await?.into_inner();
        Ok(answer.deposition.unwrap_or_default().name)
    }

    /// Size and SHA-256 of the structure, read piece by piece as a file of any size is.
    fn measured(&self) -> Result<(u64, String)> {
        let mut hash = Sha256::new();
        let size = std::io::copy(&mut std::fs::File::open(&self.structure)?, &mut hash)?;
        Ok((size, format!("{:x}", hash.finalize())))
    }

    /// What is sent to upload the structure: the header, then its bytes, read as they are sent.
    async fn upload_of(&self, parent: String) -> Result<impl Stream<Item = UploadFileRequest> + use<>> {
        let (size, sha256) = self.measured()?;
        let file_name = self.structure.file_name().context("a structure has a name")?.to_string_lossy().into_owned();
        let header = UploadFileHeader { parent, file_name, size_bytes: Some(size.try_into()?), sha256, ..Default::default() };
        let file = tokio::fs::File::open(&self.structure).await?;
        let chunks = ReaderStream::with_capacity(file, CHUNK_BYTES)
            // A file that can no longer be read ends too early; the server finds that out by its size.
            .map_while(Result::ok)
            .map(|bytes| upload_file_request::Payload::Chunk(bytes.into()));
        let pieces = tokio_stream::once(upload_file_request::Payload::Header(header)).chain(chunks);
        Ok(pieces.map(|payload| UploadFileRequest { payload: Some(payload) }))
    }

    pub async fn upload(&self, convention: &str) -> Result<(DepositionFile, Value)> {
        let pieces = self.upload_of(self.draft(convention).await?).await?;
        let mut client = DepositionServiceClient::new(self.channel.clone());
        let file = client.upload_file(within(300, pieces)).await?.into_inner().file.unwrap_or_default();
        let saw = json!({"file_name": file.file_name, "size_bytes": file.size_bytes, "sha256": file.sha256});
        Ok((file, saw))
    }

    pub async fn submit(&self, file: &DepositionFile) -> Result<(String, String, Value)> {
        let (name, _) = file.name.split_once("/files/").context("a file's name begins with its deposition's")?;
        // With a name of ours for the request, it could be sent again after a lost answer without making a second run.
        let request = SubmitDepositionRequest { name: name.into(), request_id: format!("submit {name}"), ..Default::default() };
        let mut client = DepositionServiceClient::new(self.channel.clone());
        let answer = client.submit_deposition(within(60, request)).await?.into_inner();
        let run = answer.run.unwrap_or_default();
        let saw = json!({"state": enum_name::<RunState>(run.state, RunState::as_str_name)});
        Ok((run.name, answer.resume_token, saw))
    }

    pub async fn watch(&self, run: &str, token: String) -> Result<Value> {
        let mut watch = RunWatch::new(self.endpoint.clone(), run, token);
        let mut events = Vec::new();
        let mut cut = false;
        while let Some(batch) = watch.next().await? {
            let started = batch.iter().any(|event| matches!(event.kind, Some(run_event::Kind::HookStarted(_))));
            events.extend(batch);
            if started && !cut {
                watch.cut();
                cut = true;
            }
        }
        let mut kinds: Vec<_> = events.iter().filter_map(kind_name).collect();
        kinds.dedup_by(|next, before| next == before && *next == "hook_progress");
        let end = events.iter().find_map(|event| match &event.kind {
            Some(run_event::Kind::RunFinished(end)) => Some(enum_name::<RunState>(end.state, RunState::as_str_name)),
            _ => None,
        });
        Ok(json!({
            "connections": watch.connections,
            "each_once": events.iter().map(|event| event.sequence).eq(1..=events.len() as i64),
            "kinds": kinds,
            "end": end,
            "closed_with": "OK", // or `watch.next()` had given the status
        }))
    }

    pub async fn log(&self, run: &str) -> Result<Value> {
        let request = ReadRunLogRequest { name: format!("{run}/executions/chains"), ..Default::default() };
        let mut stream = RunServiceClient::new(self.channel.clone()).read_run_log(request).await?.into_inner();
        let (mut hash, mut size) = (Sha256::new(), 0);
        while let Some(piece) = stream.message().await? {
            let bytes = match piece.content {
                Some(read_run_log_response::Content::Text(text)) => text.into_bytes(),
                Some(read_run_log_response::Content::Data(data)) => data,
                None => continue,
            };
            size += bytes.len();
            hash.update(&bytes);
        }
        Ok(json!({"size_bytes": size, "sha256": format!("{:x}", hash.finalize())}))
    }

    pub async fn query(&self) -> Result<Value> {
        let columns = ["chain_id", "polymer_type", "residue_count", "sequence", "mean_b_factor"];
        let mut request = QueryFeaturesRequest {
            feature_table: CHAINS.into(),
            filter: "residue_count > 1".into(),
            order_by: "chain_id desc".into(),
            columns: columns.map(String::from).into(),
            page_size: 2,
            page_token: String::new(),
        };
        let mut client = FeatureServiceClient::new(self.channel.clone());
        let (mut names, mut pages) = (Vec::new(), Vec::new());
        while pages.len() < 2 {
            let page = client.query_features(within(60, request.clone())).await?.into_inner();
            names = page.columns.into_iter().map(|column| column.name).collect();
            let rows = page.rows.into_iter().map(|row| row.values.into_iter().map(json_value).collect::<Result<Vec<_>>>());
            pages.push(rows.collect::<Result<Vec<_>>>()?);
            if page.next_page_token.is_empty() {
                break; // the last page
            }
            request.page_token = page.next_page_token;
        }
        Ok(json!({"columns": names, "pages": pages}))
    }

    pub async fn download(&self, file: &DepositionFile) -> Result<Value> {
        let request = DownloadFileRequest { name: file.name.clone(), ..Default::default() };
        let mut client = DepositionServiceClient::new(self.channel.clone());
        let mut stream = client.download_file(request).await?.into_inner();
        let (mut hash, mut size) = (Sha256::new(), 0);
        while let Some(piece) = stream.message().await? {
            ensure!(piece.offset == size, "a piece is missing");
            size += piece.data.len() as i64;
            hash.update(&piece.data);
        }
        let sha256 = format!("{:x}", hash.finalize());
        Ok(json!({"same": sha256 == self.measured()?.1, "sha256": sha256}))
    }

    pub async fn errors(&self, convention: &str) -> Result<Value> {
        let of = |answer: Result<(), Status>| -> Result<Value> {
            let refusal = Refusal::from(&answer.err().context("it was not refused")?);
            Ok(json!({"code": refusal.code, "reason": refusal.reason, "fields": refusal.fields}))
        };
        let with_first_hook = |change: fn(&mut HookDefinition)| {
            let mut convention = self.convention.clone();
            change(&mut convention.hooks[0]);
            async move { self.registered(convention, true).await.map(drop) }
        };
        let no_column =
            QueryFeaturesRequest { feature_table: CHAINS.into(), filter: "no_such_column > 1".into(), ..Default::default() };
        let mut features = FeatureServiceClient::new(self.channel.clone());
        let newer = |runtime| newer::validate(self.channel.clone(), &self.convention, runtime);

        // Whoever drops the future of a call, or its stream, has cancelled it: here when half a second has passed in which the upload has
        // not come to its end. The server learns of it at once. No status says so here, for nobody is left to be told.
        let beginning = self.upload_of(self.draft(convention).await?).await?.take(2);
        let mut depositions = DepositionServiceClient::new(self.channel.clone());
        let upload = depositions.upload_file(beginning.chain(tokio_stream::pending()));
        let answer = tokio::time::timeout(Duration::from_millis(500), upload).await.ok();
        ensure!(answer.is_none(), "the upload was answered before it was cancelled");

        Ok(json!({
            "bad_name": of(with_first_hook(|hook| hook.name = "Bad Name".into()).await)?,
            "unknown_column": of(features.query_features(no_column).await.map(drop))?,
            "empty_oneof": of(with_first_hook(|hook| hook.runtime = None).await)?,
            "unknown_arm": of(newer(newer::nextflow()).await)?,
            "unknown_field": of(newer(newer::oci_with_priority(&self.convention)).await)?,
            "expired_deadline": {"code": self.too_late().await?},
            "cancelled": {"code": null},
        }))
    }

    async fn too_late(&self) -> Result<&'static str> {
        let mut request = Request::new(GetServerInfoRequest {});
        request.set_timeout(Duration::ZERO);
        let mut client = ServerServiceClient::new(self.channel.clone());
        let status = client.get_server_info(request).await.err().context("it was in time")?;
        Ok(Refusal::from(&status).code)
    }
}
