//! The generated code, and protobuf's JSON.

#![allow(dead_code)] // nobody uses all of the contract

use std::sync::LazyLock;

use anyhow::Context;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};

tonic::include_proto!("opensciencearchive.v1");

static DESCRIPTORS: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let bytes = include_bytes!(concat!(env!("OUT_DIR"), "/contract.binpb"));
    DescriptorPool::decode(bytes.as_slice()).expect("build.rs has written it")
});

/// Reads a message (a `Convention`, or a `google.protobuf.Struct` of metadata) from protobuf's JSON mapping.
///
/// prost has no JSON of its own; prost-reflect reads it by the descriptors.
pub fn from_json<M: Message + Default>(type_name: &str, json: &str) -> anyhow::Result<M> {
    let descriptor = DESCRIPTORS.get_message_by_name(type_name).context("the contract has no such message")?;
    let mut input = serde_json::Deserializer::from_str(json);
    let message = DynamicMessage::deserialize(descriptor, &mut input)?;
    input.end()?;
    Ok(message.transcode_to()?)
}
