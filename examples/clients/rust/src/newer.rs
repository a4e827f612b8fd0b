//! What a client of a newer contract would send: messages written by hand, with the tags of ours and some that are not there yet.
//!
//! A client of the contract needs none of this. It is also how to call an RPC with types of one's own, through tonic's generic client.

use tonic::{Request, Status, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_prost::ProstCodec;

use crate::contract::{Convention, RegisterConventionResponse, TableFeatureSpec, hook_definition};

#[derive(Clone, PartialEq, prost::Message)]
pub struct RegisterConventionRequest {
    #[prost(string, tag = "1")]
    pub convention_id: String,
    #[prost(message, optional, tag = "2")]
    pub convention: Option<NewerConvention>,
    #[prost(bool, tag = "3")]
    pub validate_only: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct NewerConvention {
    #[prost(string, tag = "3")]
    pub title: String,
    #[prost(string, tag = "5")]
    pub version: String,
    #[prost(message, repeated, tag = "8")]
    pub hooks: Vec<NewerHook>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct NewerHook {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(oneof = "Runtime", tags = "10, 11")]
    pub runtime: Option<Runtime>,
    #[prost(message, optional, tag = "50")]
    pub table: Option<TableFeatureSpec>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Runtime {
    #[prost(message, tag = "10")]
    Oci(NewerOci),
    #[prost(message, tag = "11")]
    Nextflow(Nextflow),
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct NewerOci {
    #[prost(string, tag = "1")]
    pub image: String,
    #[prost(string, tag = "2")]
    pub digest: String,
    #[prost(int32, tag = "99")]
    pub priority: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Nextflow {
    #[prost(string, tag = "1")]
    pub script: String,
}

/// A runtime of a newer contract.
pub fn nextflow() -> Runtime {
    Runtime::Nextflow(Nextflow { script: "main.nf".into() })
}

/// A runtime of ours with a field of a newer contract.
pub fn oci_with_priority(convention: &Convention) -> Runtime {
    let Some(hook_definition::Runtime::Oci(oci)) = &convention.hooks[0].runtime else {
        panic!("the example's hooks are containers");
    };
    Runtime::Oci(NewerOci { image: oci.image.clone(), digest: oci.digest.clone(), priority: 1 })
}

/// Asks whether the convention would be accepted if its first hook had this runtime.
pub async fn validate(channel: Channel, convention: &Convention, runtime: Runtime) -> Result<(), Status> {
    let hook = &convention.hooks[0];
    let hook_definition::Feature::Table(table) = hook.feature.clone().expect("the example's hooks have tables");
    let newer = NewerConvention {
        title: convention.title.clone(),
        version: convention.version.clone(),
        hooks: vec![NewerHook { name: hook.name.clone(), runtime: Some(runtime), table: Some(table) }],
    };
    let request = RegisterConventionRequest { convention_id: crate::ID.into(), convention: Some(newer), validate_only: true };
    let path = PathAndQuery::from_static("/opensciencearchive.v1.ConventionService/RegisterConvention");
    let codec = ProstCodec::<RegisterConventionRequest, RegisterConventionResponse>::default();
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
    client.unary(Request::new(request), path, codec).await.map(drop)
}
