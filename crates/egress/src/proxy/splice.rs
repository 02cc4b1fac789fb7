//! Bytes both ways between two streams, within the caps and, towards the sandbox, masked. Each side may end first.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};

use super::{answer::Broken, body::Mask, receipt::Receipt};

/// The most bytes of one piece.
const PIECE: usize = 32 * 1024;

/// Runs until both directions have ended, or one breaks.
pub(super) async fn splice<C, S>(client: C, server: S, receipt: &Receipt, mask: Option<Mask>)
where
    C: AsyncRead + AsyncWrite,
    S: AsyncRead + AsyncWrite,
{
    let (mut from_client, mut to_client) = split(client);
    let (mut from_server, mut to_server) = split(server);
    let up = pump(&mut from_client, &mut to_server, None, |bytes| receipt.sending(bytes));
    let down = pump(&mut from_server, &mut to_client, mask, |bytes| receipt.receiving(bytes));
    // An error ends both: what is half a conversation helps nobody.
    let _ = tokio::try_join!(up, down);
}

async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut mask: Option<Mask>,
    count: impl Fn(usize) -> Result<(), Broken>,
) -> Result<(), Broken> {
    let failed = |error: std::io::Error| Broken(error.kind().to_string());
    let mut buffer = BytesMut::with_capacity(PIECE);
    loop {
        buffer.reserve(PIECE);
        if from.read_buf(&mut buffer).await.map_err(failed)? == 0 {
            break;
        }
        let piece: Bytes = buffer.split().freeze();
        count(piece.len())?;
        let piece = match &mut mask {
            Some(mask) => mask.push(piece)?,
            None => piece,
        };
        to.write_all(&piece).await.map_err(failed)?;
        to.flush().await.map_err(failed)?;
    }
    if let Some(mask) = &mut mask {
        to.write_all(&mask.finish()).await.map_err(failed)?;
    }
    to.shutdown().await.map_err(failed)
}
