//! Writes speech to a WAV file: speak ADDRESS MODEL TEXT FILE.

use std::env;
use std::time::Duration;

use gpt_server_client::gpt_server::audio::v1::{AudioFormat, SynthesizeRequest};
use gpt_server_client::{Client, Options};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, model, text, file] = arguments.as_slice() else {
        return Err("usage: speak ADDRESS MODEL TEXT FILE".into());
    };
    let client = Client::connect(address, Options::default())?;
    let request = SynthesizeRequest {
        model: model.clone(),
        input: text.clone(),
        format: Some(AudioFormat::Wav.into()),
        ..SynthesizeRequest::default()
    };
    let speech = client.synthesize(request, file, Some(Duration::from_secs(60))).await?;
    println!("{:.2} s at {} Hz", speech.finished.duration_s, speech.started.sample_rate_hz);
    Ok(())
}
