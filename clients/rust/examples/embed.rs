//! Compares texts with the first: embed ADDRESS MODEL TEXT TEXT…

use std::env;
use std::time::Duration;

use gpt_server_client::gpt_server::embed::v1::{EmbedRequest, Input, input::Content};
use gpt_server_client::{Client, Options};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, model, texts @ ..] = arguments.as_slice() else {
        return Err("usage: embed ADDRESS MODEL TEXT TEXT…".into());
    };
    let client = Client::connect(address, Options::default())?;
    let inputs = texts.iter().map(|text| Input { content: Some(Content::Text(text.clone())) }).collect();
    let request = EmbedRequest { model: model.clone(), inputs, ..EmbedRequest::default() };
    let vectors = client.embed_floats(request, Some(Duration::from_secs(60))).await?;
    println!("{} vectors of {} numbers", vectors.len(), vectors[0].len());
    for (text, vector) in texts.iter().zip(&vectors).skip(1) {
        let cosine: f32 = vectors[0].iter().zip(vector).map(|(a, b)| a * b).sum();
        println!("{cosine:.4} {text}");
    }
    Ok(())
}
