//! Chooses the backend and says why, for `/health` and the log.

use super::{CpuBackend, ForceBackend};

/// Which backend the settings ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    /// The fastest that works here.
    #[default]
    Auto,
    /// The CPU, whatever else there is.
    Cpu,
    /// A CUDA device; without one the CPU is used and the reason says so.
    Cuda,
}

/// The backend that was chosen.
pub struct Probe {
    /// Ready to step.
    pub backend: Box<dyn ForceBackend>,
    /// Why it is this one, a sentence part without full stop.
    pub reason: String,
    /// True when another backend was asked for than is used.
    pub fell_back: bool,
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probe")
            .field("backend", &self.backend.name())
            .field("reason", &self.reason)
            .field("fell_back", &self.fell_back)
            .finish()
    }
}

/// Chooses a backend. Looks at no device: this build carries no kernels for any.
#[must_use]
pub fn probe(preference: Preference) -> Probe {
    let reason = match preference {
        Preference::Cpu => "cpu is what the settings ask for",
        Preference::Auto | Preference::Cuda => {
            "this build carries no CUDA kernels, so no device was looked for"
        }
    };
    Probe {
        backend: Box::new(CpuBackend::new()),
        reason: reason.to_owned(),
        fell_back: preference == Preference::Cuda,
    }
}
