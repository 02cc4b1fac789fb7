//! Whether work without the owner may begin: the dead man's rule, and the sandbox's proof of itself.

use types::Origin;

use crate::{api::views::CanaryView, canary::UNBOUNDED, core::Core, dead_man};

/// Why work of this origin may not begin now; none for the owner's own. Waits for the sandbox's proof, which takes a second.
pub(crate) async fn refusal(core: &Core, origin: Origin) -> Option<String> {
    if origin.is_attended() {
        return None;
    }
    match dead_man::refusal(core) {
        Ok(None) => {}
        Ok(Some(refusal)) => return Some(refusal),
        Err(error) => return Some(format!("it is not known when you last wrote: {error}")),
    }
    let mut canary = core.canary.clone();
    let state = canary.wait_for(|state| *state != CanaryView::Running).await.map(|state| state.clone());
    match state {
        Ok(CanaryView::Held { is_bounded: true, .. }) => None,
        Ok(CanaryView::Held { is_bounded: false, .. }) => {
            Some(format!("memory is limited for each process only; {UNBOUNDED}"))
        }
        Ok(CanaryView::Failed { error }) => Some(format!("the sandbox did not pass its self-test: {error}")),
        Ok(CanaryView::Running) | Err(_) => Some("the sandbox's self-test did not end".to_owned()),
    }
}
