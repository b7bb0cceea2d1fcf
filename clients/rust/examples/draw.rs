//! Draws a picture: draw ADDRESS MODEL TEXT FILE.

use std::time::Duration;
use std::{env, fs};

use gpt_server_client::gpt_server::image::v1::{GenerateRequest, Options as ImageOptions};
use gpt_server_client::{Client, Options};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, model, text, file] = arguments.as_slice() else {
        return Err("usage: draw ADDRESS MODEL TEXT FILE".into());
    };
    let client = Client::connect(address, Options::default())?;
    let request = GenerateRequest {
        model: model.clone(),
        prompt: text.clone(),
        options: Some(ImageOptions { seed: Some(1), ..ImageOptions::default() }),
    };
    let show = |step, steps| println!("step {step} of {steps}");
    let images = client.generate_images(request, Some(Duration::from_secs(120)), show).await?;
    fs::write(file, &images[0].content)?;
    let header = &images[0].header;
    println!("{} × {}, seed {}", header.width_px, header.height_px, header.seed);
    Ok(())
}
