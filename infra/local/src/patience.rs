//! A stream whose writes may wait for the other end only so long.
//!
//! In: any stream. Out: the same, but that a write which makes no progress for the time given is an error, so that a client
//! that does not read its answer gives its connection back. Once upgraded (a tail), the stream waits as it likes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// A stream that runs out of patience.
pub(crate) struct Patience<S> {
    stream: S,
    write_timeout: Duration,
    upgraded: Arc<AtomicBool>,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Patience<S> {
    /// Zero is patience without end.
    pub(crate) fn new(stream: S, write_timeout: Duration, upgraded: Arc<AtomicBool>) -> Self {
        Patience { stream, write_timeout, upgraded, waiting: None }
    }

    fn judge<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() || self.write_timeout.is_zero() || self.upgraded.load(Ordering::Relaxed) {
            self.waiting = None;
            return written;
        }
        let deadline = Instant::now() + self.write_timeout;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patience<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patience<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.judge(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.judge(closed, cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_left() {
        let (ours, mut theirs) = tokio::io::duplex(4);
        let upgraded = Arc::new(AtomicBool::new(false));
        let mut stream = Patience::new(ours, Duration::from_secs(30), upgraded.clone());
        stream.write_all(b"full").await.expect("there is room");
        let stuck = stream.write_all(b"more").await.expect_err("nobody reads");
        assert_eq!(stuck.kind(), io::ErrorKind::TimedOut);
        theirs.read_exact(&mut [0; 4]).await.expect("four bytes");
        stream.write_all(b"more").await.expect("there is room again");
        upgraded.store(true, Ordering::Relaxed);
        let waits = tokio::time::timeout(Duration::from_secs(300), stream.write_all(b"tail")).await;
        assert!(waits.is_err(), "a tail waits for its reader");
    }
}
