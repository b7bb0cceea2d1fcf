//! A client of GPT Server's gRPC services. [`Client::connect`] is where to begin; requests are the generated messages
//! of [`gpt_server`].

mod audio;
mod client;
mod embed;
mod error;
mod image;
mod llm;
mod stream;

pub use audio::{Segments, Speech};
pub use client::{Client, Options, Transport};
pub use error::{Error, Failure};
pub use image::Image;
pub use llm::{Generation, user};
pub use stream::Responses;

mod protos {
    #![allow(clippy::all, missing_docs)]
    include!(concat!(env!("OUT_DIR"), "/protos.rs"));
}
pub use protos::gpt_server;
pub use protos::gpt_server::common::v1::ErrorReason;
