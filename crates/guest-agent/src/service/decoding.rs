//! A request that cannot be decoded is the caller's mistake, not the server's: `INVALID_ARGUMENT` instead of ttrpc's
//! `UNKNOWN`.

use std::{future::Future, pin::Pin};

use ttrpc::{
    Code, Request, Response,
    r#async::{MethodHandler, Service, TtrpcContext},
    get_status,
};

/// The same service, with that answer.
pub(super) fn checked(service: Service) -> Service {
    let methods = service.methods.into_iter();
    Service {
        methods: methods.map(|(name, method)| (name, Box::new(Checked(method)) as _)).collect(),
        ..service
    }
}

struct Checked(Box<dyn MethodHandler + Send + Sync>);

impl MethodHandler for Checked {
    fn handler<'life0, 'async_trait>(
        &'life0 self,
        context: TtrpcContext,
        request: Request,
    ) -> Pin<Box<dyn Future<Output = ttrpc::Result<Response>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            match self.0.handler(context, request).await {
                // A call's own errors are answers already; what is left is the decoding.
                Err(ttrpc::Error::Others(reason)) => {
                    let status = get_status(Code::INVALID_ARGUMENT, reason);
                    Ok(ttrpc::Error::RpcStatus(status).into())
                }
                answer => answer,
            }
        })
    }
}
