//! What a completion may say: how many bytes a step can have moved at the most.
//!
//! Buffers are handed out as filled to the length that was reported. A service is not believed about that: one that
//! reports more than was asked for has its step fail with EPROTO, and nothing is filled.

use ouzel_ring::{Completion, Errno, Verb};

use ouzel_chain::ring::{Body, Memory, Step};

/// Makes a completion of `step` an error if it says what cannot be.
pub(super) fn check(body: &Body, step: usize, completion: &mut Completion) {
    let most = body.steps().get(step).and_then(|own| match own.verb() {
        Verb::Call => body.most_of_call(step),
        _ => most(body, own),
    });
    if most.is_some_and(|most| completion.result > most) {
        completion.error = Errno::EPROTO.raw();
        completion.result = 0;
        completion.extra = 0;
    }
}

/// The largest result that the step can have, if that is a number of bytes.
fn most(body: &Body, step: &Step) -> Option<u64> {
    let capacity = |buffer: u16| body.buffer(buffer).map_or(0, |buffer| buffer.capacity() as u64);
    let asked = (!step.is_loaded(2)).then_some(step.arguments()[2]);
    match (step.verb(), step.payload()) {
        (Verb::RecvMsg | Verb::SendMsg, Memory::Received(envelope) | Memory::Filled(envelope)) => {
            Some(body.piece_lengths(envelope).map(|length| length as u64).sum())
        }
        (_, Memory::Room(buffer)) => Some(asked.unwrap_or(u64::MAX).min(capacity(buffer))),
        (Verb::Write | Verb::Send, Memory::Filled(buffer)) => {
            Some(asked.unwrap_or(u64::MAX).min(capacity(buffer)))
        }
        (Verb::Copy | Verb::Splice, _) => asked,
        // Without room they result in what they would need, and fill nothing.
        (Verb::Readlink | Verb::GetXattr | Verb::ListXattr, _) => {
            let room = u64::from(step.arguments()[4] as u32);
            (room > 0).then_some(room)
        }
        _ => None,
    }
}
