//! Streams an answer: chat ADDRESS MODEL TEXT [TEMPERATURE].
//!
//! GPT_SERVER_CA names a file with the authority of a service that speaks TLS, GPT_SERVER_TOKEN is a token.

use std::io::Write;
use std::time::Duration;
use std::{env, fs};

use gpt_server_client::gpt_server::llm::v1::{Chat, GenerateRequest, Sampling, generate_request::Prompt};
use gpt_server_client::{Client, Error, Options, user};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, model, text, temperature @ ..] = arguments.as_slice() else {
        return Err("usage: chat ADDRESS MODEL TEXT [TEMPERATURE]".into());
    };
    let temperature = temperature.first().map_or(Ok(0.0), |number| number.parse())?;
    let ca = env::var("GPT_SERVER_CA").ok().map(fs::read).transpose()?;
    let options = Options { ca, token: env::var("GPT_SERVER_TOKEN").ok(), ..Options::default() };
    let client = Client::connect(address, options)?;
    let request = GenerateRequest {
        model: model.clone(),
        prompt: Some(Prompt::Chat(Chat { messages: vec![user(text)], ..Chat::default() })),
        sampling: Some(Sampling { temperature: Some(temperature), max_tokens: Some(200), ..Sampling::default() }),
        ..GenerateRequest::default()
    };
    if let Err(error) = answer(&client, request).await {
        if let Error::Call(failure) = &error {
            let field = failure.field.as_deref().unwrap_or("-");
            eprint!("{} {field} ", failure.reason.as_str_name());
        }
        eprintln!("{error}");
        std::process::exit(1);
    }
    Ok(())
}

async fn answer(client: &Client, request: GenerateRequest) -> Result<(), Error> {
    let mut answer = client.generate(request, Some(Duration::from_secs(60))).await?;
    while let Some(response) = answer.next().await? {
        for delta in &response.deltas {
            print!("{}", delta.content);
            std::io::stdout().flush()?;
        }
        if let Some(finished) = response.finished {
            let reasons: Vec<_> = finished.choices.iter().map(|choice| choice.finish_reason().as_str_name()).collect();
            println!("\n{}, {} tokens", reasons.join(" "), finished.usage.unwrap_or_default().completion_tokens);
        }
    }
    Ok(())
}
