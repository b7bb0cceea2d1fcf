//! Images.

use std::time::Duration;

use crate::gpt_server::image::v1::{GenerateRequest, ImageHeader, generate_response::Event};
use crate::{Client, Error, Responses};

/// A finished image.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its seed, size and format.
    pub header: ImageHeader,
    /// The bytes of its file.
    pub content: Vec<u8>,
}

impl Client {
    /// Makes images and returns them in order, without previews. `on_progress` is told of steps done, and of all.
    ///
    /// # Errors
    ///
    /// The call has failed, or its deadline has passed.
    pub async fn generate_images(
        &self,
        request: GenerateRequest,
        timeout: Option<Duration>,
        mut on_progress: impl FnMut(i32, i32),
    ) -> Result<Vec<Image>, Error> {
        let mut image = self.image();
        let mut responses =
            Responses::open(request, timeout, |request| async move { image.generate(request).await }).await?;
        let mut images = Vec::new();
        let mut current = Image { header: ImageHeader::default(), content: Vec::new() };
        while let Some(response) = responses.next().await? {
            match response.event {
                Some(Event::Progress(progress)) => on_progress(progress.step, progress.steps),
                Some(Event::ImagePart(part)) => {
                    if let Some(header) = part.header {
                        current = Image { header, content: Vec::new() };
                    }
                    current.content.extend(part.content);
                    if part.last && current.header.preview.is_none() {
                        images.push(current.clone());
                    }
                }
                Some(Event::Finished(_)) => return Ok(images),
                _ => {}
            }
        }
        Err(Error::unfinished())
    }
}
