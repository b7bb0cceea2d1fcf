//! Writes down what is said in a file: transcribe ADDRESS MODEL FILE.

use std::env;
use std::time::Duration;

use gpt_server_client::gpt_server::audio::v1::TranscriptionConfig;
use gpt_server_client::{Client, Options};
use tokio::fs::File;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, model, file] = arguments.as_slice() else {
        return Err("usage: transcribe ADDRESS MODEL FILE".into());
    };
    let client = Client::connect(address, Options::default())?;
    let config = TranscriptionConfig { model: model.clone(), ..TranscriptionConfig::default() };
    let sound = File::open(file).await?;
    let mut segments = client.transcribe(config, sound, Some(Duration::from_secs(60))).await?;
    while let Some(segment) = segments.next().await? {
        print!("{}", segment.text);
    }
    println!();
    Ok(())
}
