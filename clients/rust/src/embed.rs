//! Vectors.

use std::time::Duration;

use tonic::Status;

use crate::gpt_server::embed::v1::{EmbedRequest, VectorFormat};
use crate::{Client, Error, Responses};

impl Client {
    /// Returns a vector for each input. For other formats than `Float32` call the generated client.
    ///
    /// # Errors
    ///
    /// The call has failed, or its deadline has passed.
    pub async fn embed_floats(&self, request: EmbedRequest, timeout: Option<Duration>) -> Result<Vec<Vec<f32>>, Error> {
        if request.format.is_some_and(|format| format != VectorFormat::Float32 as i32) {
            return Err(Status::invalid_argument("embed_floats returns FLOAT32").into());
        }
        let mut embed = self.embed();
        let mut vectors = Vec::with_capacity(request.inputs.len());
        let mut responses =
            Responses::open(request, timeout, |request| async move { embed.embed(request).await }).await?;
        while let Some(response) = responses.next().await? {
            let size = usize::try_from(response.row_bytes).unwrap_or_default().max(1);
            vectors.extend(response.vectors.chunks_exact(size).map(floats));
            if response.finished.is_some() {
                return Ok(vectors);
            }
        }
        Err(Error::unfinished())
    }
}

fn floats(row: &[u8]) -> Vec<f32> {
    row.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect()
}
