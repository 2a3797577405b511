//! Where the agent runtime is, and how bytes get there.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::wire::line::{LineBuffer, LineEvent};

/// Longest line of a child's stderr that is logged, in bytes; longer ones are only counted.
const STDERR_LINE_MAX: usize = 4 * 1024;

/// How to reach the agent runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum McpTarget {
    /// Over TCP; the name is resolved again at every attempt.
    Tcp {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A child process per connection, over its stdin and stdout.
    Stdio {
        /// The program.
        program: String,
        /// Its arguments.
        args: Vec<String>,
    },
}

impl fmt::Display for McpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Stdio { program, .. } => write!(f, "stdio:{program}"),
        }
    }
}

/// A byte stream in both directions. The child process, if there is one, is killed when it is dropped.
pub(super) struct Stream {
    pub(super) read: Box<dyn AsyncRead + Send + Unpin>,
    pub(super) write: Box<dyn AsyncWrite + Send + Unpin>,
    pub(super) child: Option<tokio::process::Child>,
}

impl McpTarget {
    /// Opens one stream.
    ///
    /// # Errors
    /// The system's words.
    pub(super) async fn open(&self, user_timeout: Duration) -> std::io::Result<Stream> {
        match self {
            Self::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                prepare(&stream, user_timeout)?;
                let (read, write) = stream.into_split();
                Ok(Stream { read: Box::new(read), write: Box::new(write), child: None })
            }
            Self::Stdio { program, args } => {
                let mut child = Command::new(program)
                    .args(args)
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .kill_on_drop(true)
                    .process_group(0)
                    .spawn()?;
                let missing = || std::io::Error::other("the child process has no pipes");
                let write = child.stdin.take().ok_or_else(missing)?;
                let read = child.stdout.take().ok_or_else(missing)?;
                if let Some(stderr) = child.stderr.take() {
                    actix::spawn(log_lines(program.clone(), stderr));
                }
                Ok(Stream { read: Box::new(read), write: Box::new(write), child: Some(child) })
            }
        }
    }
}

/// Small calls want no delay; a peer that is gone must be noticed also while nothing is sent.
fn prepare(stream: &TcpStream, user_timeout: Duration) -> std::io::Result<()> {
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(user_timeout))?;
    Ok(())
}

async fn log_lines(program: String, mut stderr: tokio::process::ChildStderr) {
    let mut lines = LineBuffer::new(STDERR_LINE_MAX);
    let mut chunk = vec![0; STDERR_LINE_MAX];
    // read to the end whatever is in it: a full pipe would stop the child
    while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
        lines.push(chunk.get(..count).unwrap_or_default());
        for event in lines.by_ref() {
            match event {
                LineEvent::Line(line) => {
                    let line = String::from_utf8_lossy(&line);
                    tracing::info!(program, %line, "the agent runtime's stderr");
                }
                LineEvent::TooLong { bytes } => tracing::info!(program, bytes, "a long line on its stderr"),
            }
        }
    }
}
