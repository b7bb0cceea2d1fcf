//! How to connect.

use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::{Interceptor, interceptor::InterceptedService};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use crate::gpt_server::{
    audio::v1::audio_service_client::AudioServiceClient,
    common::v1::{WatchRequest, WatchResponse, model_service_client::ModelServiceClient},
    embed::v1::embed_service_client::EmbedServiceClient,
    image::v1::image_service_client::ImageServiceClient,
    llm::v1::llm_service_client::LlmServiceClient,
};
use crate::{Error, Responses};

/// How to connect. The default is plain text without a token.
#[derive(Debug, Default, Clone)]
pub struct Options {
    /// Whether the connection is encrypted; `ca` and `identity` ask for it too.
    pub tls: bool,
    /// Authorities to trust, PEM. Without it those of the system.
    pub ca: Option<Vec<u8>>,
    /// Our own certificate and its key, PEM, where the service asks for one (mutual TLS).
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// Shown with every call, where the service wants one.
    pub token: Option<String>,
}

/// What the generated clients send their calls over.
pub type Transport = InterceptedService<Channel, Bearer>;

/// Calls the services behind one address; a clone shares its connection.
///
/// `timeout` is the call's deadline; without one the service's own holds (600 s unless configured). Dropping a future
/// or a stream cancels the call and ends the work. What has no method here is called on the generated clients, whose
/// `Status` becomes an [`Error`] with `?`.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
}

impl Client {
    /// Returns a client; nothing is sent until the first call.
    ///
    /// # Errors
    ///
    /// The address, a certificate or the token cannot be read.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub fn connect(address: &str, options: Options) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let tls = options.tls || options.ca.is_some() || options.identity.is_some();
        let scheme = if tls { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))?
            .http2_keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20))
            .tcp_nodelay(true);
        if tls {
            let mut config = match options.ca {
                Some(ca) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)),
                None => ClientTlsConfig::new().with_enabled_roots(),
            };
            if let Some((certificate, key)) = options.identity {
                config = config.identity(Identity::from_pem(certificate, key));
            }
            endpoint = endpoint.tls_config(config)?;
        }
        let shown = options.token.map(|token| format!("Bearer {token}").parse()).transpose()?;
        Ok(Self { transport: InterceptedService::new(endpoint.connect_lazy(), Bearer(shown)) })
    }

    /// The generated client of the audio service.
    pub fn audio(&self) -> AudioServiceClient<Transport> {
        AudioServiceClient::new(self.transport.clone())
    }

    /// The generated client of the embed service.
    pub fn embed(&self) -> EmbedServiceClient<Transport> {
        EmbedServiceClient::new(self.transport.clone())
    }

    /// The generated client of the image service.
    pub fn image(&self) -> ImageServiceClient<Transport> {
        ImageServiceClient::new(self.transport.clone())
    }

    /// The generated client of the LLM service.
    pub fn llm(&self) -> LlmServiceClient<Transport> {
        LlmServiceClient::new(self.transport.clone())
    }

    /// Streams which models the address serves and how busy they are: at once, on change, every second.
    ///
    /// # Errors
    ///
    /// The call has failed.
    pub async fn watch(&self, timeout: Option<Duration>) -> Result<Responses<WatchResponse>, Error> {
        let mut models = ModelServiceClient::new(self.transport.clone());
        Responses::open(WatchRequest {}, timeout, |request| async move { models.watch(request).await }).await
    }
}

/// Shows a token with every call.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(shown) = &self.0 {
            request.metadata_mut().insert("authorization", shown.clone());
        }
        Ok(request)
    }
}
