//! Ends a long answer in two ways, by cancelling and by a deadline: stop ADDRESS MODEL.

use std::env;
use std::time::Duration;

use gpt_server_client::gpt_server::llm::v1::{Chat, GenerateRequest, Sampling, generate_request::Prompt};
use gpt_server_client::{Client, Error, Options, user};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, model] = arguments.as_slice() else {
        return Err("usage: stop ADDRESS MODEL".into());
    };
    let client = Client::connect(address, Options::default())?;
    let endless = GenerateRequest {
        model: model.clone(),
        prompt: Some(Prompt::Chat(Chat { messages: vec![user("Count from 1 to 1000.")], ..Chat::default() })),
        sampling: Some(Sampling { ignore_eos: Some(true), ..Sampling::default() }),
        ..GenerateRequest::default()
    };

    let mut answer = client.generate(endless.clone(), None).await?;
    while let Some(response) = answer.next().await? {
        if let Some(delta) = response.deltas.first() {
            println!("first piece: {}", delta.content.trim());
            break;
        }
    }
    drop(answer); // cancels the call
    let mut watch = client.watch(Some(Duration::from_secs(60))).await?;
    while let Some(picture) = watch.next().await? {
        let idle = |name: &str, running| name == model && running == 0;
        let mut models = picture.models.iter();
        if models.any(|status| idle(status.model.as_ref().map_or("", |model| &model.name), status.running)) {
            println!("running: 0");
            break;
        }
    }
    if let Err(Error::Call(failure)) = until_the_end(&client, endless).await {
        println!("{:?}", failure.code);
    }
    Ok(())
}

async fn until_the_end(client: &Client, request: GenerateRequest) -> Result<(), Error> {
    let mut answer = client.generate(request, Some(Duration::from_millis(500))).await?;
    while answer.next().await?.is_some() {}
    Ok(())
}
