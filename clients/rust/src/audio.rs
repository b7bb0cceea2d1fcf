//! Speech.

use std::collections::VecDeque;
use std::io::{self, SeekFrom};
use std::path::Path;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

use crate::gpt_server::audio::v1::{
    AudioFormat, Segment, SpeechFinished, SpeechStarted, SynthesizeRequest, TranscribeRequest, TranscribeResponse,
    TranscriptionConfig, transcribe_request::Content,
};
use crate::{Client, Error, Responses};

const PIECE_BYTES: usize = 256 * 1024;
const WAV_HEADER_BYTES: u32 = 44;

/// What was written to a file.
#[derive(Debug, Clone)]
pub struct Speech {
    /// Form, rate and channels.
    pub started: SpeechStarted,
    /// Length in seconds, timings.
    pub finished: SpeechFinished,
}

/// A transcript while it is written; the text is that of all segments, joined. Dropping it cancels the call.
pub struct Segments {
    responses: Responses<TranscribeResponse>,
    ready: VecDeque<Segment>,
    finished: bool,
    sending: Option<JoinHandle<Sent>>,
}

/// A sound that could not be read must not look as if it had ended, so its sender lives on.
type Sent = Result<(), (io::Error, Sender<TranscribeRequest>)>;

impl Segments {
    /// Returns the next segment; `None` after the last.
    ///
    /// # Errors
    ///
    /// The call has failed, its deadline has passed, or the sound could not be read.
    pub async fn next(&mut self) -> Result<Option<Segment>, Error> {
        loop {
            if let Some(segment) = self.ready.pop_front() {
                return Ok(Some(segment));
            }
            if self.finished {
                return Ok(None);
            }
            let response = match &mut self.sending {
                None => self.responses.next().await?,
                Some(sending) => tokio::select! {
                    sent = sending => {
                        self.sending = None;
                        match sent {
                            Ok(Err((error, _))) => return Err(error.into()),
                            _ => continue,
                        }
                    }
                    response = self.responses.next() => response?,
                },
            };
            let response = response.ok_or_else(Error::unfinished)?;
            self.finished = response.finished.is_some();
            self.ready.extend(response.segments);
        }
    }
}

impl Client {
    /// Sends a sound by pieces, in any form that FFmpeg reads, and returns segments as they are decided.
    ///
    /// # Errors
    ///
    /// The call has failed, or its deadline has passed.
    pub async fn transcribe(
        &self,
        config: TranscriptionConfig,
        sound: impl AsyncRead + Send + Unpin + 'static,
        timeout: Option<Duration>,
    ) -> Result<Segments, Error> {
        let (sender, receiver) = channel(1);
        let sending = Some(tokio::spawn(send(config, sound, sender)));
        let mut audio = self.audio();
        let responses = Responses::open(ReceiverStream::new(receiver), timeout, |request| async move {
            audio.transcribe(request).await
        })
        .await?;
        Ok(Segments { responses, ready: VecDeque::new(), finished: false, sending })
    }

    /// Writes speech to a file while it is spoken. A WAV file gets its true lengths at the end.
    ///
    /// # Errors
    ///
    /// The call has failed, its deadline has passed, or the file could not be written.
    pub async fn synthesize(
        &self,
        request: SynthesizeRequest,
        path: impl AsRef<Path>,
        timeout: Option<Duration>,
    ) -> Result<Speech, Error> {
        let mut audio = self.audio();
        let mut responses =
            Responses::open(request, timeout, |request| async move { audio.synthesize(request).await }).await?;
        let mut file = File::create(path).await?;
        let (mut started, mut length) = (SpeechStarted::default(), 0u32);
        while let Some(response) = responses.next().await? {
            started = response.started.unwrap_or(started);
            file.write_all(&response.audio).await?;
            length = length.saturating_add(u32::try_from(response.audio.len()).unwrap_or(u32::MAX));
            if let Some(finished) = response.finished {
                if started.format() == AudioFormat::Wav && length >= WAV_HEADER_BYTES {
                    write_lengths(&mut file, length).await?;
                }
                file.flush().await?;
                return Ok(Speech { started, finished });
            }
        }
        Err(Error::unfinished())
    }
}

async fn send(
    config: TranscriptionConfig,
    mut sound: impl AsyncRead + Unpin,
    sender: Sender<TranscribeRequest>,
) -> Sent {
    let mut content = Content::Config(config);
    // The receiver is dropped when the service takes no more; its answer says why.
    while sender.send(TranscribeRequest { content: Some(content) }).await.is_ok() {
        let mut piece = vec![0; PIECE_BYTES];
        match sound.read(&mut piece).await {
            Err(error) => return Err((error, sender)),
            Ok(0) => break,
            Ok(length) => piece.truncate(length),
        }
        content = Content::Audio(piece);
    }
    Ok(())
}

/// Mends the header of a WAV file, which is sent before the length is known.
async fn write_lengths(file: &mut File, length: u32) -> io::Result<()> {
    for (place, value) in [(4, length - 8), (40, length - WAV_HEADER_BYTES)] {
        file.seek(SeekFrom::Start(place)).await?;
        file.write_all(&value.to_le_bytes()).await?;
    }
    Ok(())
}
